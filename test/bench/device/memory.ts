/** Memory of the device, or of the server's process on the CPU, before, while and after ten versions are swapped in. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createPolicyClient } from '../../../clients/typescript/client.ts';
import { publishPackage } from '../../../src/package/package.ts';
import { randomPackage } from '../../../trainer/export/random-package.ts';
import { gpuMiB } from './gpu.ts';
import type { Section } from './section.ts';
import { startServer } from './server.ts';

const swapCounts = { whole: 10, quick: 3 };
/** From the second swap on: versions before are given back by then, and what is left grows no more. */
const settledSwap = 2;
/** MiB; a process on the CPU has its caches too, which fill meanwhile. */
const growthMax = { device: 128, process: 512 };
const waitMs = 60_000;
/** Between looks, which must not take the core that loads. */
const pauseMs = 50;

export async function memory({ device, isQuick, lines, scratch, signal }: Section): Promise<void> {
  const store = join(scratch, 'store');
  const swapCount = isQuick ? swapCounts.quick : swapCounts.whole;
  const sizes = isQuick ? { hiddenSize: 32, trunkSizes: [32] } : { hiddenSize: 256, trunkSizes: [256, 512, 1024] };
  const content = randomPackage({ policy: 'hyper', critic: 'hyper', ...sizes });
  const publish = () => publishPackage({ store, model: 'swapped', ...content });
  await publish();
  const idle = deviceMiB(device);
  // Each worker loads every graph, and one is enough for what is looked at here.
  const args = ['--workers', '1', '--watch-ms', '100'];
  const server = await startServer({ device, lines, signal }, store, args);
  const client = createPolicyClient({ address: `127.0.0.1:${server.port}`, timeoutMs: 60_000 });
  const used = () => (device === 'cpu' ? processMiB(server.pid) : (deviceMiB(device) ?? Number.NaN));
  const answer = async (version: number): Promise<void> => {
    const until = performance.now() + waitMs;
    const request = { model: 'swapped', observation: Array(17).fill(0.1), context: [version, 1] };
    while ((await client.act(request)).version !== version) {
      if (performance.now() > until) {
        const refused = server.refusal('swapped');
        const why = refused === undefined ? '' : `; refused: ${refused}`;
        throw new Error(`expected version ${version} served within ${waitMs} ms, got another one${why}`);
      }
      await sleep(pauseMs);
    }
    await client.qGrad({ model: 'swapped', observation: Array(17).fill(0.1 * version), action: Array(6).fill(0) });
  };
  try {
    await answer(1);
    const samples = [used()];
    for (let version = 2; version <= swapCount + 1; version++) {
      await publish();
      await answer(version);
      samples.push(used());
    }
    const growthMaxMiB = device === 'cpu' ? growthMax.process : growthMax.device;
    const growth = samples.at(-1)! - samples[settledSwap]!;
    const fields = { idle, first: samples[0], most: Math.max(...samples), last: samples.at(-1), growth };
    const of = device === 'cpu' ? "the server's process" : 'the device';
    lines.note(`memory of ${of} over ${swapCount} swaps, MiB`, { samples });
    if (samples.some(Number.isNaN)) lines.note('memory is not known', { why: 'nvidia-smi does not run here' });
    else
      lines.check(`memory stays over ${swapCount} swaps, within ${growthMaxMiB} MiB`, growth <= growthMaxMiB, fields);
  } finally {
    client.close();
    await server.stop();
  }
  if (device !== 'cpu') lines.note('memory of the device after the server, MiB', { idle, after: deviceMiB(device) });
}

/** Of the whole device, whoever uses it; null where nobody tells. */
const deviceMiB = (device: Section['device']): number | null => (device === 'cpu' ? null : gpuMiB());

const processMiB = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
