/** Timing and reporting shared by the benches. */

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, loadavg, release, type } from 'node:os';

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

/** What a figure should reach: a bound from above or below, and a farther one. */
export type Target = { readonly bound: 'most' | 'least'; readonly value: number; readonly moonshot?: number };

export type Figures = Record<string, number | string>;

/** How a figure stands: `<= 1.15 met, moonshot 1.05`. */
export function standing(value: number, { bound, value: limit, moonshot }: Target): string {
  const reaches = (aim: number) => (bound === 'most' ? value <= aim : value >= aim);
  const sign = bound === 'most' ? '<=' : '>=';
  const further =
    moonshot === undefined ? '' : reaches(moonshot) ? `, moonshot ${moonshot} met` : `, moonshot ${moonshot}`;
  return `${sign} ${limit} ${reaches(limit) ? 'met' : 'NOT MET'}${further}`;
}

/** Where a measurement was made, and of which revision. */
export function surroundings(): Figures {
  return {
    machine: cpus()[0]?.model.trim() ?? 'unknown',
    core_count: cpus().length,
    load_average: Number(loadavg()[0]!.toFixed(2)),
    system: `${type()} ${release()}`,
    node: process.version,
    onnxruntime: versionOf('onnxruntime-node'),
    grpc_js: versionOf('@grpc/grpc-js'),
    commit: commit(),
  };
}

function versionOf(name: string): string {
  const paths = createRequire(import.meta.url).resolve.paths(name) ?? [];
  for (const path of paths) {
    try {
      return (JSON.parse(readFileSync(`${path}/${name}/package.json`, 'utf8')) as { version: string }).version;
    } catch {
      // Not in this folder: the next one up.
    }
  }
  return 'unknown';
}

/** The revision of the working tree, with `+` where it was changed. */
function commit(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      encoding: 'utf8',
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '-uno') === '' ? '' : '+');
  } catch {
    return 'unknown';
  }
}

/**
 * Prints the figures as a table with the machine, and writes them as flat JSON where a file is named.
 * @param targets of some figures, by key: they are shown beside them
 */
export function report(
  figures: Readonly<Figures>,
  json: string | undefined,
  targets: Readonly<Record<string, Target>> = {},
): void {
  const all = { ...surroundings(), ...figures };
  for (const [name, value] of Object.entries(all)) {
    const text = String(typeof value === 'number' ? Number(value.toPrecision(4)) : value);
    const target = targets[name];
    const beside = target === undefined || typeof value !== 'number' ? '' : `  ${standing(value, target)}`;
    console.log(`${name.padEnd(44)} ${beside === '' ? text : text.padEnd(10) + beside}`);
  }
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(all, null, 2)}\n`);
}
