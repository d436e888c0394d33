/** Timing and reporting shared by the benches. */

import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** The median of the timings of `run`, in milliseconds, after a warm-up of a tenth of the time. */
export function medianMs(run: () => void, { seconds = 2, callsPerSample = 1 } = {}): { median: number; p99: number } {
  const samples: number[] = [];
  const begin = performance.now();
  const warmUntil = begin + seconds * 100;
  while (performance.now() < warmUntil) run();
  while (performance.now() - begin < seconds * 1000 || samples.length < 5) {
    const start = performance.now();
    for (let i = 0; i < callsPerSample; i++) run();
    samples.push((performance.now() - start) / callsPerSample);
  }
  samples.sort((a, b) => a - b);
  return { median: samples[samples.length >> 1]!, p99: samples[Math.floor(samples.length * 0.99)]! };
}

/** Prints the figures as a table with the machine, and writes them as flat JSON where a file is named. */
export function report(figures: Readonly<Record<string, number | string>>, json: string | undefined): void {
  const machine = { machine: cpus()[0]?.model.trim() ?? 'unknown', core_count: cpus().length, node: process.version };
  const all = { ...machine, ...figures };
  for (const [name, value] of Object.entries(all)) {
    console.log(`${name.padEnd(44)} ${typeof value === 'number' ? Number(value.toPrecision(4)) : value}`);
  }
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(all, null, 2)}\n`);
}
