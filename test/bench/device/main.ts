/**
 * What `deploy/cuda/check.sh` runs: each section in turn, with its lines; exits with 1 where something does not hold. This process runs
 * nothing on the device itself, so that neither a run that hangs nor one that ends its process can keep it from its last line.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Device } from '../../../src/onnx/providers.ts';
import { surroundings } from '../measure.ts';
import { sections } from './all-sections.ts';
import { readArguments } from './check-arguments.ts';
import { gpu } from './gpu.ts';
import { createLines } from './lines.ts';
import { opening } from './opening.ts';
import type { Section } from './section.ts';

/** Why a section is left out on a device. */
const leftOut: Readonly<Record<Device, Readonly<Record<string, string>>>> = {
  cpu: { webgpu: 'it is asked for with --device webgpu, and beside --device cuda' },
  webgpu: { training: 'it is refused on webgpu', webgpu: 'it is what all sections are on' },
  cuda: {},
};
/** After the deadline, for what a section says of processes that were killed. */
const graceMs = 5000;

type Work = { readonly name: string; readonly run: (section: Section) => Promise<void> };

const { device, isQuick, only, json, deadlineSeconds, cpuCurve } = readArguments(process.argv.slice(2));
const begin = performance.now();
const controller = new AbortController();
const { signal } = controller;
const end = (why: string) => controller.abort(new Error(why));
setTimeout(() => end(`the deadline of ${deadlineSeconds} s`), 1000 * deadlineSeconds).unref();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => end(name));
const abandoned = new Promise<never>((_, reject) => {
  signal.addEventListener('abort', () => setTimeout(() => reject(signal.reason), graceMs));
});
abandoned.catch(() => {});

const lines = createLines(json);
const { CHECK_REVISION: commit, CHECK_MISSING: missing, CHECK_LIBRARIES: libraries } = process.env;
lines.note('where', {
  ...{ device, ...gpu(), ...surroundings() },
  ...Object.fromEntries(Object.entries({ commit, libraries, missing, ...environment() }).filter(([, value]) => value)),
});
let queue: Work[] = [];
for (const name of only ?? Object.keys(sections)) {
  const why = leftOut[device][name];
  if (why === undefined) queue.push({ name, run: sections[name]! });
  else if (only !== undefined) lines.note('section left out', { name, why });
}
if (device !== 'cpu' && queue.some(needsDevice)) {
  const opened = await Promise.race([opening(device, { signal }), abandoned.catch(() => undefined)]);
  const { isOpen = false, ...fields } = signal.aborted ? { why: reason() } : opened!;
  lines.check('the device opens', isOpen, { device, ...fields });
  // At the deadline each section is told as skipped.
  if (!isOpen && !signal.aborted) {
    const names = queue.filter(needsDevice).map(({ name }) => name);
    lines.note('sections left out', { names, why: 'the device does not open' });
    queue = queue.filter((work) => !needsDevice(work));
  }
}
// Sections add to it while they run.
for (const work of queue) await run(work);
lines.note('end', { failed: lines.failedCount, seconds: Math.round((performance.now() - begin) / 1000) });
// What was given up may still hold this process.
process.exit(lines.failedCount === 0 ? 0 : 1);

async function run({ name, run }: Work): Promise<void> {
  if (signal.aborted) {
    lines.check(`${name} runs to its end`, false, { why: `skipped: ${reason()}` });
    return;
  }
  const scratch = await mkdtemp(join(tmpdir(), 'hyperpolicy-check-'));
  const from = performance.now();
  const leftMs = () => Math.max(0, 1000 * deadlineSeconds - (performance.now() - begin));
  const later: Section['later'] = (name, run) => void queue.push({ name, run });
  try {
    await Promise.race([run({ device, isQuick, lines, scratch, signal, leftMs, cpuCurve, later }), abandoned]);
    signal.throwIfAborted();
  } catch (error) {
    const { message } = error as Error;
    const why = signal.aborted ? [...new Set([reason(), message])].join('; ') : message;
    lines.check(`${name} runs to its end`, false, { why });
  }
  // Processes that were killed a moment ago may still write.
  await Promise.race([rm(scratch, { recursive: true, force: true, maxRetries: 3 }), sleep(graceMs)]).catch(() => {});
  lines.note('section', { name, seconds: Math.round((performance.now() - from) / 100) / 10 });
}

/** What NVIDIA's libraries read of it. */
function environment(): NodeJS.ProcessEnv {
  const names = ['CUDA_VISIBLE_DEVICES', 'CUDA_MODULE_LOADING', 'CUDA_LAUNCH_BLOCKING', 'NVIDIA_TF32_OVERRIDE'];
  return Object.fromEntries(names.map((name) => [name, process.env[name]]));
}

/** The others are on the device of their name. */
function needsDevice({ name }: Work): boolean {
  return name !== 'webgpu';
}

function reason(): string {
  return (signal.reason as Error).message;
}
