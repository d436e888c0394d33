/**
 * `npm run soak -- [--minutes N] [--rate CALLS] [--out DIRECTORY]`: runs the soak, prints how it goes and a table, and ends with code 1
 * where it did not pass. The real server is under everything at once: calls, streams, gradients, pins, KServe, JSON, `Adapt`, bad requests,
 * clients that leave, versions published and rolled back; small caches. A soak fails on a call that fails and should not, an error in the
 * log, a bound that is passed, work that is left over, and memory that rises: over the least of each of ten windows after the warm-up a
 * line may rise by 24 MiB or 8% (heap: 8 MiB). `--out` writes the table as `soak.md` and memory over time as `memory.svg`.
 */

import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { memoryPlot } from './plot.ts';
import { mib, runSoak, type SoakResult } from './run.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    rate: { type: 'string', default: '400' },
    out: { type: 'string' },
  },
});
const minutes = positive('--minutes', values.minutes);
const rate = positive('--rate', values.rate);

const result = await runSoak({
  minutes,
  rate,
  growthMaxBytes: 24 * 1024 * 1024,
  command: fileURLToPath(new URL('../../../clients/cli/main.js', import.meta.url)),
  progress: (line) => console.error(line),
});
const table = tableOf(result);
console.log(table);
if (values.out !== undefined) {
  await mkdir(values.out, { recursive: true });
  await writeFile(join(values.out, 'soak.md'), table);
  await writeFile(join(values.out, 'memory.svg'), plotOf(result));
}
process.exitCode = result.faults.length === 0 ? 0 : 1;

function positive(name: string, text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  console.error(`soak: expected a positive number for ${name}, got "${text}"`);
  process.exit(2);
}

function plotOf({ rss, heap, warmUpMs }: SoakResult): string {
  const lines = [
    { name: 'resident memory', colour: '#1f5fa8', samples: rss },
    { name: 'JavaScript heap', colour: '#b5541c', samples: heap },
  ];
  return memoryPlot(`Memory of the server, soak of ${minutes} minutes`, lines, warmUpMs);
}

function tableOf(soak: SoakResult): string {
  const { kinds, publishedCount, rollbackCount, rssFlatness, heapFlatness, peaks, faults } = soak;
  const total = kinds.reduce((sum, { count }) => sum + count, 0);
  const failed = kinds.reduce((sum, { failureCount }) => sum + failureCount, 0);
  const row = (...cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  const memory = (
    name: string,
    { startBytes, endBytes, growthBytes, growthMaxBytes, slopeBytesPerHour }: typeof rssFlatness,
  ) => row(name, mib(startBytes), mib(endBytes), mib(growthBytes), mib(growthMaxBytes), mib(slopeBytesPerHour));
  return [
    `# Soak: ${faults.length === 0 ? 'passed' : 'failed'}`,
    '',
    `\`npm run soak -- --minutes ${minutes} --rate ${rate}\`, Node ${process.version}, ${cpus().length} cores (${cpus()[0]?.model.trim()}).`,
    `${total} calls, ${failed} unexpected failures; ${publishedCount} versions published, ${rollbackCount} rolled back.`,
    ...(faults.length === 0 ? [] : ['', ...faults.map((fault) => `- ${fault}`)]),
    '',
    row('memory, MiB', 'after warm-up', 'at the end', 'growth', 'allowed', 'slope per hour'),
    row('---', '---', '---', '---', '---', '---'),
    memory('resident', rssFlatness),
    memory('JavaScript heap', heapFlatness),
    '',
    row('bounded', 'peak'),
    row('---', '---'),
    ...Object.entries(peaks).map(([name, peak]) => row(`\`${name}\``, peak)),
    '',
    row('call', 'count', 'unexpected failures', 'p50 ms', 'p99 ms'),
    row('---', '---', '---', '---', '---'),
    ...[...kinds]
      .sort((a, b) => b.count - a.count)
      .map(({ name, count, failureCount, p50, p99 }) => row(name, count, failureCount, p50.toFixed(2), p99.toFixed(2))),
    '',
  ].join('\n');
}
