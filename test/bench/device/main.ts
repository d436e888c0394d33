/** What `deploy/cuda/check.sh` runs: each section in turn, with its lines; exits with 1 where something does not hold. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Device } from '../../../src/onnx/providers.ts';
import { surroundings } from '../measure.ts';
import { latencies } from './latencies.ts';
import { createLines } from './lines.ts';
import { memory } from './memory.ts';
import type { Section } from './section.ts';
import { serving } from './serving.ts';
import { training } from './training.ts';

const sections: Readonly<Record<string, (section: Section) => Promise<void>>> = {
  serving,
  latencies,
  training,
  memory,
};
const devices: readonly Device[] = ['cpu', 'webgpu', 'cuda'];
/** Training is refused on webgpu. */
const skipped: Readonly<Partial<Record<Device, readonly string[]>>> = { webgpu: ['training'] };

const values = given();
const device = devices.find((name) => name === values.device);
const names = values.only?.split(',') ?? Object.keys(sections);
const unknown = names.find((name) => sections[name] === undefined);
if (device === undefined || unknown !== undefined) {
  const [option, expected, actual] =
    device === undefined
      ? ['--device', devices.join(', '), values.device]
      : ['--only', Object.keys(sections).join(', '), unknown];
  console.error(`check: ${option}: expected one of ${expected}, got "${actual}"`);
  process.exit(2);
}

const lines = createLines(values.json);
lines.note('where', { device, ...surroundings() });
const begin = performance.now();
for (const name of names.filter((name) => !skipped[device]?.includes(name))) {
  const scratch = await mkdtemp(join(tmpdir(), 'hyperpolicy-check-'));
  const from = performance.now();
  try {
    await sections[name]!({ device, isQuick: values.quick, lines, scratch });
  } catch (error) {
    lines.check(`${name} runs to its end`, false, { why: (error as Error).message });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  lines.note('section', { name, seconds: Math.round((performance.now() - from) / 100) / 10 });
}
lines.note('end', { failed: lines.failedCount, seconds: Math.round((performance.now() - begin) / 1000) });
process.exitCode = lines.failedCount === 0 ? 0 : 1;

function given() {
  const options = {
    device: { type: 'string', default: 'cuda' },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
  } as const;
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    process.stderr.write(`check.sh: ${(error as Error).message}. See --help\n`);
    process.exit(2);
  }
}
