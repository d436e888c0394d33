/**
 * `node updates.js DEVICE [--quick]`: the same updates of TD3 with SA-Hyper twins on the CPU and on the device, from the same batches and
 * noise, one run on each. Prints a line of JSON for each network, or one with the error. A process of its own: it is in native code meanwhile.
 */

import { availableParallelism } from 'node:os';
import { createRandom } from '../../../src/contract/random.ts';
import type { Device } from '../../../src/onnx/providers.ts';
import { td3Defaults } from '../../../trainer/algorithms/td3/config.ts';
import { createTd3Learner } from '../../../trainer/algorithms/td3/learner.ts';
import { createTracedEngine } from '../../../trainer/engine/traced.ts';
import { createBatch } from '../../../trainer/replay/batch.ts';
import { actionSize, observationSize } from '../serve-requests.ts';
import { difference } from './section.ts';
import { benchSpecs } from './specs.ts';

/** Of a network: how far Adam's first moments are apart in units of the largest, which is `scale`. They are linear in the gradients. */
export type UpdatesLine =
  | { readonly network: string; readonly difference: number; readonly scale: number }
  | { readonly error: string };

/** Two passes of two. */
const updateCount = 4;

const [device, flag] = process.argv.slice(2) as [Device, string?];
const say = (line: UpdatesLine) => console.log(JSON.stringify(line));
try {
  compare(device, flag === '--quick');
} catch (error) {
  say({ error: (error as Error).message });
  process.exit(1);
}

function compare(device: Device, isQuick: boolean): void {
  const critic = { architecture: 'sa-hyper', ...(isQuick && { trunkSizes: [16], dynamicHiddenSizes: [16] }) };
  const config = td3Defaults(critic);
  const [expected, actual] = (['cpu', device] as const).map((on) => {
    const engine = createTracedEngine({ threadCount: availableParallelism(), device: on });
    const learner = createTd3Learner({ config, specs: benchSpecs, engine, seed: 1, updatesPerRun: updateCount });
    const random = createRandom(2);
    const batch = createBatch({ size: config.batchSize, observationSize, actionSize });
    for (let i = 0; i < updateCount; i++) {
      for (const field of ['observation', 'action', 'reward', 'nextObservation'] as const) {
        random.fillNormal(batch[field]);
      }
      learner.learn(batch, random);
    }
    const moments = [learner.critic, learner.actor].map(({ adam }) => adam.moment1);
    learner.dispose();
    return moments;
  });
  for (const [i, network] of ['critic', 'actor'].entries()) {
    const scale = expected![i]!.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const most = difference(
      actual![i]!.map((value) => value / scale),
      expected![i]!.map((value) => value / scale),
    );
    say({ network, difference: most, scale });
  }
}
