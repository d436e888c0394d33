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
  for (const [network, kinds] of Object.entries(expected)) {
    for (const [name, arrays] of Object.entries(kinds)) {
      const kind = name as ComparedArrays;
      say({ network, arrays: kind, ...farthestTensor(actual[network]![kind], arrays) });
    }
  }
  // Said last: it is only worth knowing.
  const again = update(device, isQuick);
  const isRepeatEqual = Object.entries(actual).every(([network, kinds]) =>
    Object.entries(kinds).every(([kind, arrays]) => areEqual(again[network]![kind as ComparedArrays], arrays)),
  );
  say({ isRepeatEqual });
}

type Updated = Readonly<Record<string, Readonly<Record<ComparedArrays, Arrays>>>>;

/** By network: its arrays after the updates. */
function update(device: Device, isQuick: boolean): Updated {
  const critic = { architecture: 'sa-hyper', ...(isQuick && { trunkSizes: [16], dynamicHiddenSizes: [16] }) };
  const config = td3Defaults(critic);
  const engine = createTracedEngine({ threadCount: availableParallelism(), device });
  const learner = createTd3Learner({ config, specs: benchSpecs, engine, seed: 1, updatesPerRun: updateCount });
  const networks = { critic: learner.critic, actor: learner.actor };
  const starts = mapped(networks, ({ parameters }) => mapped(parameters, (values) => values.slice()));
  const random = createRandom(2);
  const batch = createBatch({ size: config.batchSize, observationSize, actionSize });
  for (let i = 0; i < updateCount; i++) {
    for (const field of ['observation', 'action', 'reward', 'nextObservation'] as const) {
      random.fillNormal(batch[field]);
    }
    learner.learn(batch, random);
  }
  learner.dispose();
  return mapped(networks, ({ moment1, moment2, parameters, target }, name) => {
    const start = starts[name]!;
    const way = (arrays: Arrays) =>
      mapped(arrays, (values, tensor) => values.map((value, i) => value - start[tensor]![i]!));
    // Targets begin as the parameters do.
    return { moment1, moment2, parameters: way(parameters), target: way(target) };
  });
}

function mapped<A, B>(record: Readonly<Record<string, A>>, of: (value: A, name: string) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, of(value, name)]));
}
