/**
 * Where each operator of a served hyper policy and critic and of training's updates runs: notes for whoever looks for lost time, from runs of
 * their own, since profiles take time.
 */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createPolicyClient } from '../../../clients/typescript/client.ts';
import { createRandom } from '../../../src/contract/random.ts';
import { publishRandomPackage } from '../../../trainer/export/random-package.ts';
import { runToEnd } from '../serve-processes.ts';
import { actionSize, contextSize, normals, observationSize } from '../serve-requests.ts';
import { profilingInto, readPlacements } from './profiles.ts';
import { guarded, type Section } from './section.ts';
import { startServer } from './server.ts';

const rowCount = 64;
const updatesMs = 90_000;

export async function placement(section: Section): Promise<void> {
  const { device, lines, scratch } = section;
  const folder = join(scratch, 'profiles');
  await mkdir(folder);
  await guarded(section, 'profiles of a server', { device }, () => serve(section, folder));
  // Training is refused there.
  if (device !== 'webgpu') await guarded(section, 'profiles of updates', { device }, () => update(section, folder));
  const placements = readPlacements(folder, device);
  for (const placed of placements) lines.note('where operators run', { device, ...placed });
  lines.check('profiles tell where operators run', placements.length > 0, { device });
}

async function serve({ device, isQuick, lines, scratch, signal }: Section, folder: string): Promise<void> {
  const store = join(scratch, 'store');
  const sizes = isQuick ? { hiddenSize: 32, trunkSizes: [32] } : { hiddenSize: 256, trunkSizes: [256, 512, 1024] };
  const model = 'profiled';
  await publishRandomPackage({
    store,
    model,
    policy: 'hyper',
    critic: 'hyper',
    observationSize,
    actionSize,
    contextSize,
    ...sizes,
  });
  const server = await startServer({ device, lines, signal }, store, ['--workers', '1'], profilingInto(folder));
  const client = createPolicyClient({ address: `127.0.0.1:${server.port}`, timeoutMs: 60_000 });
  const random = createRandom(9);
  const rows = (size: number) => ({ shape: [rowCount, size], values: normals(random, rowCount * size) });
  try {
    const observation = rows(observationSize);
    // The weights are generated, then used.
    const act = { model, observation, context: rows(contextSize) };
    for (let i = 0; i < 3; i++) await client.act(act);
    await client.qGrad({ model, observation, action: rows(actionSize) });
    const ascent = { stepCount: 16, stepSize: 1e-3 };
    await client.qGrad({ model, observation: rows(observationSize), action: rows(actionSize), ascent });
  } finally {
    client.close();
    await server.stop();
  }
}

async function update({ device, isQuick, signal }: Section, folder: string): Promise<void> {
  const script = fileURLToPath(new URL('./updates.js', import.meta.url));
  const args = [script, device, ...(isQuick ? ['--quick'] : [])];
  // What it says is looked at in the section of training.
  const options = { signal, limitMs: updatesMs, env: profilingInto(folder), onLine: () => {} };
  const how = await runToEnd(process.execPath, args, options);
  if (how !== 'exit code 0') throw new Error(how);
}
