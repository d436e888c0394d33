/** The log of a controller: the newest cycles, up to a bound, and a summary. */

import type { CommandMode } from './commander.ts';

/** One cycle. Times are milliseconds of the controller's clock. */
export type Cycle = {
  /** Counts the periods since the start: one that was passed over has no cycle. */
  readonly index: number;
  readonly dueMs: number;
  /** How long after that it began. */
  readonly jitterMs: number;
  /** From its beginning until its command was applied. */
  readonly tookMs: number;
  readonly mode: CommandMode;
  /** Of the observation that the newest answer is to; Infinity before the first. */
  readonly ageMs: number;
  /** From its own request to the answer; undefined where none came in the time that a cycle waits. */
  readonly latencyMs: number | undefined;
  /** The version that gave the newest answer; 0 before the first. */
  readonly version: number;
  /** The command was applied when the next cycle was due, or later. */
  readonly missed: boolean;
  /** Periods that were passed over before it. */
  readonly skippedCount: number;
  /** Kind of the newest error of a request since the last answer. */
  readonly problem: string | undefined;
  /** What was applied, [A]. */
  readonly command: Float32Array;
};

export type CycleSummary = {
  readonly cycleCount: number;
  readonly cyclesPerSecond: number;
  readonly jitterMs: { readonly p50: number; readonly p99: number; readonly p999: number; readonly max: number };
  /** Of cycles whose answer came while they waited; 0 where there was none. */
  readonly latencyMs: { readonly p50: number; readonly p99: number };
  readonly missedCount: number;
  readonly skippedCount: number;
  /** Cycles by mode. */
  readonly modes: Readonly<Record<CommandMode, number>>;
};

export type CycleLog = {
  add(cycle: Cycle): void;
  /** Those that are kept, oldest first. */
  cycles(): readonly Cycle[];
  /** Of those that are kept. */
  summary(): CycleSummary;
};

export function createCycleLog(cycleCountMax: number): CycleLog {
  const kept: Cycle[] = [];
  let oldest = 0;
  const cycles = () => [...kept.slice(oldest), ...kept.slice(0, oldest)];
  return {
    add(cycle) {
      if (kept.length < cycleCountMax) kept.push(cycle);
      else {
        kept[oldest] = cycle;
        oldest = (oldest + 1) % cycleCountMax;
      }
    },
    cycles,
    summary: () => summaryOf(cycles()),
  };
}

function summaryOf(cycles: readonly Cycle[]): CycleSummary {
  const jitter = ascending(cycles.map(({ jitterMs }) => jitterMs));
  const latency = ascending(cycles.flatMap(({ latencyMs }) => (latencyMs === undefined ? [] : [latencyMs])));
  const modes = { fresh: 0, hold: 0, ramp: 0, safe: 0 };
  for (const { mode } of cycles) modes[mode]++;
  const [first, last] = [cycles[0], cycles.at(-1)];
  const tookMs = first === undefined ? 0 : last!.dueMs + last!.jitterMs - first.dueMs - first.jitterMs;
  return {
    cycleCount: cycles.length,
    cyclesPerSecond: tookMs === 0 ? 0 : (1000 * (cycles.length - 1)) / tookMs,
    jitterMs: { p50: at(jitter, 0.5), p99: at(jitter, 0.99), p999: at(jitter, 0.999), max: at(jitter, 1) },
    latencyMs: { p50: at(latency, 0.5), p99: at(latency, 0.99) },
    missedCount: cycles.filter(({ missed }) => missed).length,
    skippedCount: cycles.reduce((sum, { skippedCount }) => sum + skippedCount, 0),
    modes,
  };
}

const ascending = (values: number[]): number[] => values.sort((a, b) => a - b);

const at = (sorted: readonly number[], fraction: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))] ?? 0;
