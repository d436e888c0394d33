/**
 * `node updates.js DEVICE [--quick]`: the same updates of TD3 with SA-Hyper twins on the CPU and twice on the device, from the same batches
 * and noise, one run on each. Prints a line of JSON for each kind of array of each network, one with whether the device's two runs agree, or
 * one with the error. A process of its own: it is in native code meanwhile.
 */

import { availableParallelism } from 'node:os';
import { createRandom } from '../../../src/contract/random.ts';
import type { Device } from '../../../src/onnx/providers.ts';
import { td3Defaults } from '../../../trainer/algorithms/td3/config.ts';
import { createTd3Learner } from '../../../trainer/algorithms/td3/learner.ts';
import { createTracedEngine } from '../../../trainer/engine/traced.ts';
import { createBatch } from '../../../trainer/replay/batch.ts';
import { actionSize, observationSize } from '../serve-requests.ts';
import { benchSpecs } from './specs.ts';
import { type Arrays, areEqual, farthestTensor } from './tensors.ts';

/** Adam's moments as they are; parameters and targets by how far they went. */
export type ComparedArrays = 'moment1' | 'moment2' | 'parameters' | 'target';

export type UpdatesLine =
  | {
      readonly network: string;
      readonly arrays: ComparedArrays;
      /** The tensor that is farthest from the CPU's, and how far: as {@link farthestTensor}. */
      readonly tensor: string;
      readonly difference: number;
    }
  | { readonly isRepeatEqual: boolean }
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
  const [expected, actual] = [update('cpu', isQuick), update(device, isQuick)];
  for (const [i, { network, arrays, tensors }] of expected.entries()) {
    say({ network, arrays, ...farthestTensor(actual[i]!.tensors, tensors) });
  }
  // Said last: it is only worth knowing.
  const again = update(device, isQuick);
  say({ isRepeatEqual: actual.every(({ tensors }, i) => areEqual(again[i]!.tensors, tensors)) });
}

type Updated = { readonly network: string; readonly arrays: ComparedArrays; readonly tensors: Arrays };

/** The arrays of each network after the updates. */
function update(device: Device, isQuick: boolean): Updated[] {
  const critic = { architecture: 'sa-hyper', ...(isQuick && { trunkSizes: [16], dynamicHiddenSizes: [16] }) };
  const config = td3Defaults(critic);
  const engine = createTracedEngine({ threadCount: availableParallelism(), device });
  const learner = createTd3Learner({ config, specs: benchSpecs, engine, seed: 1, updatesPerRun: updateCount });
  const networks = Object.entries({ critic: learner.critic, actor: learner.actor });
  const starts = networks.map(([, { parameters }]) => mapped(parameters, (values) => values.slice()));
  const random = createRandom(2);
  const batch = createBatch({ size: config.batchSize, observationSize, actionSize });
  for (let i = 0; i < updateCount; i++) {
    for (const field of ['observation', 'action', 'reward', 'nextObservation'] as const) {
      random.fillNormal(batch[field]);
    }
    learner.learn(batch, random);
  }
  learner.dispose();
  return networks.flatMap(([network, { moment1, moment2, parameters, target }], index) => {
    // Targets begin as the parameters do.
    const way = (arrays: Arrays) =>
      mapped(arrays, (values, tensor) => values.map((value, i) => value - starts[index]![tensor]![i]!));
    const compared = { moment1, moment2, parameters: way(parameters), target: way(target) };
    return Object.entries(compared).map(([arrays, tensors]) => ({
      network,
      arrays: arrays as ComparedArrays,
      tensors,
    }));
  });
}

function mapped(arrays: Arrays, of: (values: Float32Array, tensor: string) => Float32Array): Arrays {
  return Object.fromEntries(Object.entries(arrays).map(([tensor, values]) => [tensor, of(values, tensor)]));
}
