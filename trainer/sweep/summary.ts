/** One table about a sweep: a row for each combination, over its seeds. */

import { grouped } from '../../src/contract/grouped.ts';
import { createRandom } from '../../src/contract/random.ts';
import { bootstrapInterval, type Interval, interquartileMean, mean, standardDeviation } from '../report/statistics.ts';
import { type MetricRecord, readMetrics } from '../run/metrics.ts';
import { returnTexts } from '../run/return-text.ts';
import type { Cell } from './cell.ts';
import { isDone } from './run-cells.ts';

export type SummaryRow = {
  readonly group: Readonly<Record<string, string>>;
  readonly seedCount: number;
  /** Over the seeds, of each run's last evaluation: the last is not chosen among many. */
  readonly mean: number;
  readonly standardDeviation: number;
  readonly interquartileMean: number;
  /** Interval of the interquartile mean, 95%. */
  readonly interval: Interval;
};

/**
 * Cells that are not done are left out. The samples are drawn with a fixed seed, so the table is always the same.
 * @param tell shows a line about a cell whose metrics cannot be read, and which is left out
 */
export function summarise(cells: readonly Cell[], tell: (line: string) => void): SummaryRow[] {
  const ended = cells.filter(isDone).flatMap((cell) => {
    const last = lastReturn(cell, tell);
    return last === undefined ? [] : [{ group: cell.group, last }];
  });
  return [...grouped(ended, ({ group }) => JSON.stringify(group)).values()].map((same) => {
    const returns = same.map(({ last }) => last);
    return {
      group: same[0].group,
      seedCount: returns.length,
      mean: mean(returns),
      standardDeviation: standardDeviation(returns),
      interquartileMean: interquartileMean(returns),
      interval: bootstrapInterval(returns, interquartileMean, { random: createRandom(0) }),
    };
  });
}

/** Of its last evaluation; undefined if there is none. */
function lastReturn({ index, runDirectory }: Cell, tell: (line: string) => void): number | undefined {
  const leaveOut = (reason: string) => tell(`left out cell ${index}, ${runDirectory}: ${reason}`);
  try {
    const evaluated = ({ evaluationReturn }: MetricRecord) => evaluationReturn !== undefined;
    const last = readMetrics(runDirectory).findLast(evaluated);
    if (last === undefined) leaveOut('its metrics have no evaluation');
    return last?.evaluationReturn;
  } catch (error) {
    leaveOut((error as Error).message);
    return undefined;
  }
}

/** The rows as text, numbers to the right. */
export function summaryTable(rows: readonly SummaryRow[]): string {
  const names = [...new Set(rows.flatMap(({ group }) => Object.keys(group)))];
  const numbers = ['seeds', 'mean', 'std', 'IQM', '95% interval of the IQM'];
  const lines = rows.map(({ group, seedCount, interval: { low, high }, ...row }) => {
    const values = [row.mean, row.standardDeviation, row.interquartileMean, low, high] as const;
    const [mean, deviation, interquartile, from, to] = returnTexts(...values);
    return [
      ...names.map((name) => group[name] ?? ''),
      `${seedCount}`,
      mean,
      deviation,
      interquartile,
      `${from} to ${to}`,
    ];
  });
  const all = [[...names, ...numbers], ...lines];
  const widths = all[0]!.map((_, i) => Math.max(...all.map((line) => line[i]!.length)));
  const pad = (cell: string, i: number) => (i < names.length ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!));
  return `${all.map((line) => line.map(pad).join('  ').trimEnd()).join('\n')}\n`;
}
