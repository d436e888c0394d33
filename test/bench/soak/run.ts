/**
 * The soak: the real server in its own process under everything at once for a given time, and the verdict. It passes where no call
 * failed that should not have, memory was flat, everything bounded stayed within its bound, nothing was left in flight, the log had no
 * error, and the server ended by itself with code 0.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRandom, type Random } from '../../../src/contract/random.ts';
import { publishRandomPackage } from '../../../trainer/export/random-package.ts';
import { createCalls, type SoakCall } from './calls.ts';
import { type Flatness, judgeFlatness, type MemorySample } from './memory.ts';
import { startSoakServer } from './server.ts';
import { createTally, type Kind } from './tally.ts';
import { createOperator, packages } from './versions.ts';

export type SoakOptions = {
  readonly minutes: number;
  /** Calls a second that are aimed at. */
  readonly rate: number;
  /** By how much resident memory may grow after the warm-up. A run of seconds is mostly warm-up: it shows gross leaks alone. */
  readonly growthMaxBytes: number;
  /** The compiled command line, `dist/clients/cli/main.js`. */
  readonly command: string;
  /** Told how it goes, a line at a time. */
  readonly progress: (line: string) => void;
};

export type SoakResult = {
  readonly minutes: number;
  readonly warmUpMs: number;
  readonly kinds: readonly Kind[];
  readonly publishedCount: number;
  readonly rollbackCount: number;
  readonly rss: readonly MemorySample[];
  readonly heap: readonly MemorySample[];
  readonly rssFlatness: Flatness;
  readonly heapFlatness: Flatness;
  readonly peaks: Readonly<Record<string, number>>;
  /** Everything that is not as it must be; empty where the soak passed. */
  readonly faults: readonly string[];
};

const mebibyte = 1024 * 1024;
const callerCount = 8;
const sampleEveryMs = 500;

/** Small, so that they are full soon: what is bounded shows in minutes. */
const limits = { cacheMib: 8, heldActionCount: 64, requestCount: 256, queueRowCount: 4096, handleCount: 500 } as const;

const serverArgs = [
  ['--watch-ms', '250'],
  ['--workers', '1'],
  ['--context-cache-mib', `${limits.cacheMib}`],
  ['--critic-cache-mib', `${limits.cacheMib}`],
  ['--max-held-actions', `${limits.heldActionCount}`],
  ['--max-handles', `${limits.handleCount}`],
  ['--handle-cache-mib', '2'],
  ['--max-requests', `${limits.requestCount}`],
  ['--max-queue-rows', `${limits.queueRowCount}`],
].flat();

/** Samples of `/metrics` that have a bound, and the bound. */
const bounds: Readonly<Record<string, number>> = {
  'hyperpolicy_context_cache_bytes{cache="policy"}': limits.cacheMib * mebibyte,
  'hyperpolicy_context_cache_bytes{cache="critic"}': limits.cacheMib * mebibyte,
  hyperpolicy_context_handles: limits.handleCount,
  hyperpolicy_requests_in_flight: limits.requestCount,
  hyperpolicy_queue_rows: 2 * limits.queueRowCount,
};

/** Samples that must be 0 once nobody calls any more. */
const idle = [
  'hyperpolicy_requests_in_flight',
  'hyperpolicy_stream_requests_in_flight',
  'hyperpolicy_queue_rows',
  'hyperpolicy_generations_in_flight{cache="policy"}',
  'hyperpolicy_generations_in_flight{cache="critic"}',
];

/** @throws Error where the server does not start */
export async function runSoak({ minutes, rate, growthMaxBytes, command, progress }: SoakOptions): Promise<SoakResult> {
  const durationMs = minutes * 60_000;
  const warmUpMs = durationMs * 0.3;
  const store = await mkdtemp(join(tmpdir(), 'hyperpolicy-soak-'));
  try {
    for (const kind of Object.values(packages)) await publishRandomPackage({ store, ...kind });
    const server = await startSoakServer(command, ['--store', store, ...serverArgs]);
    const { calls, close } = createCalls(server, createRandom(1));
    const operator = createOperator(server, store);
    const tally = createTally();
    const rss: MemorySample[] = [];
    const heap: MemorySample[] = [];
    const peaks: Record<string, number> = {};
    const startMs = performance.now();
    const elapsedMs = () => performance.now() - startMs;
    const goesOn = () => elapsedMs() < durationMs;

    async function callOn(random: Random): Promise<void> {
      while (goesOn()) {
        const { name, run } = pick(calls, random);
        const beganMs = elapsedMs();
        await tally.run(name, run);
        // What a busy machine has delayed is not made up for: bursts would be another load.
        await pause(beganMs + (callerCount * 1000) / rate - elapsedMs());
      }
    }
    async function operate(): Promise<void> {
      while (goesOn()) {
        await tally.run('versions', () => operator.work());
        await pause(1000);
      }
    }
    async function watch(): Promise<void> {
      let told = 0;
      while (goesOn()) {
        const samples = await server.scrape();
        const atMs = elapsedMs();
        rss.push({ atMs, bytes: samples.get('process_resident_memory_bytes')! });
        heap.push({ atMs, bytes: samples.get('nodejs_heap_size_used_bytes')! });
        for (const name of Object.keys(bounds)) peaks[name] = Math.max(peaks[name] ?? 0, totalOf(samples, name));
        if (atMs - told > Math.min(10_000, durationMs / 5)) {
          told = atMs;
          const memory = `${mib(rss.at(-1)!.bytes)} MiB resident, ${mib(heap.at(-1)!.bytes)} heap`;
          progress(
            `${Math.round(atMs / 1000)} s: ${tally.count} calls, ${tally.failureCount} failures, ${operator.publishedCount} versions, ${memory}`,
          );
        }
        await pause(sampleEveryMs);
      }
    }
    const callers = Array.from({ length: callerCount }, (_, i) => callOn(createRandom(2, i)));
    let left: ReadonlyMap<string, number>;
    let exitCode: number | null;
    try {
      await Promise.all([...callers, operate(), watch()]);
      left = await untilIdle(server.scrape);
    } finally {
      close();
      operator.close();
      exitCode = await server.stop();
    }

    const rule = { warmUpMs, windowCount: 10, growthMaxShare: 0.08 };
    const rssFlatness = judgeFlatness(rss, { ...rule, growthMaxBytes });
    const heapFlatness = judgeFlatness(heap, { ...rule, growthMaxBytes: growthMaxBytes / 3 });
    const internalCount = sumOf(left, /^grpc_server_handled_total\{.*grpc_code="Internal"/);
    const faults = [
      ...tally.failures,
      ...(tally.failureCount > tally.failures.length ? [`${tally.failureCount} calls failed`] : []),
      ...server.errors.map((line) => `logged: ${line}`),
      ...(internalCount > 0 ? [`${internalCount} calls ended with INTERNAL`] : []),
      ...Object.entries(bounds)
        .filter(([name, bound]) => !(peaks[name]! <= bound))
        .map(([name, bound]) => `${name}: expected at most ${bound}, got ${peaks[name]}`),
      ...idle
        .filter((name) => totalOf(left, name) !== 0)
        .map((name) => `${name}: expected 0 at the end, got ${totalOf(left, name)}`),
      ...Object.entries({ 'resident memory': rssFlatness, heap: heapFlatness })
        .filter(([, { isFlat }]) => !isFlat)
        .map(
          ([name, { growthBytes, growthMaxBytes }]) =>
            `${name} grew by ${mib(growthBytes)} MiB, over ${mib(growthMaxBytes)}`,
        ),
      ...(exitCode === 0 ? [] : [`the server ended with code ${exitCode}`]),
    ];
    return {
      minutes,
      warmUpMs,
      kinds: tally.kinds,
      publishedCount: operator.publishedCount,
      rollbackCount: operator.rollbackCount,
      rss,
      heap,
      rssFlatness,
      heapFlatness,
      peaks,
      faults,
    };
  } finally {
    await rm(store, { recursive: true, force: true });
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));

export const mib = (bytes: number): number => Math.round((bytes / mebibyte) * 10) / 10;

function pick(calls: readonly SoakCall[], random: Random): SoakCall {
  let left = random.uniform() * calls.reduce((sum, { weight }) => sum + weight, 0);
  for (const one of calls) {
    left -= one.weight;
    if (left < 0) return one;
  }
  return calls.at(-1)!;
}

const sumOf = (samples: ReadonlyMap<string, number>, name: RegExp): number =>
  [...samples].reduce((sum, [sample, value]) => (name.test(sample) ? sum + value : sum), 0);

/** Over all labels where the name has none; NaN where there is no such sample. */
function totalOf(samples: ReadonlyMap<string, number>, name: string): number {
  const own = [...samples].filter(([sample]) => sample === name || sample.startsWith(`${name}{`));
  return own.length === 0 ? Number.NaN : own.reduce((sum, [, value]) => sum + value, 0);
}

/** The metrics once nothing is in flight, or after 10 s. */
async function untilIdle(scrape: () => Promise<ReadonlyMap<string, number>>): Promise<ReadonlyMap<string, number>> {
  for (let attempt = 0; ; attempt++) {
    const samples = await scrape();
    if (attempt >= 100 || idle.every((name) => totalOf(samples, name) === 0)) return samples;
    await pause(100);
  }
}
