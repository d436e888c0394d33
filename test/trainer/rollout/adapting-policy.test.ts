/** Random models that adapt in process. Trained ones: test/trainer/algorithms/{maml,pearl}/serving.test.ts. */

import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { ModelProtoSchema } from '../../../src/gen/onnx/onnx_pb.ts';
import { isBounded } from '../../../src/onnx/small-network.ts';
import { type ModelPackage, readPackage } from '../../../src/package/package.ts';
import { createAdaptingPolicy } from '../../../trainer/rollout/adapting-policy.ts';
import { type PackageOptions, startTestServer, temporaryStore } from '../../server/fixtures.ts';
import { expectAdaptsAsServed } from './adapts-as-served.ts';

const env = await createEnvironment('Point-Robot');
const { specs } = env;
env.dispose();
const random = { model: 'm', critic: 'none', environment: { name: 'Point-Robot', ...specs }, hiddenSize: 8 } as const;

test.each<[string, Partial<PackageOptions>]>([
  ['an inner step on generated weights', { stochastic: true, adapt: true }],
  ['an encoder', { encoder: true }],
])('%s gives the actions that a server gives', async (_, options) => {
  const store = await temporaryStore([{ ...random, policy: 'hyper', ...options }]);
  const { client } = await startTestServer([], { store });
  await expectAdaptsAsServed(client, store, 'm');
});

test('a model that does not adapt, or is of another environment, is refused', async () => {
  const store = await temporaryStore([
    { ...random, policy: 'plain' },
    { model: 'other', critic: 'none', policy: 'hyper', encoder: true },
  ]);
  const create = async (model: string) =>
    createAdaptingPolicy(await readPackage(join(store, model, '1')), { specs, threadCount: 1 });
  await expect(create('m')).rejects.toThrow(
    'expected a package with an encoder or an inner step, got one with neither',
  );
  await expect(create('other')).rejects.toThrow(
    "expected a model for the environment's observation 2, action 2, got one for observation 17, action 6. It was made for no environment",
  );
});

test('a policy whose graph cannot run by row acts the same, also adapted', async () => {
  // Bounds that random actions do not reach.
  const wide = { ...specs, action: { ...specs.action, low: [-9, -9], high: [9, 9] } };
  const environment = { name: 'Point-Robot', ...wide };
  const store = await temporaryStore([{ ...random, environment, policy: 'hyper', stochastic: true, adapt: true }]);
  const content = await readPackage(join(store, 'm', '1'));
  const { policy } = content.manifest;
  if (policy?.kind !== 'hyper') throw new Error(`expected a hyper policy, got ${policy?.kind}`);
  const { file } = policy.dynamic;
  const model = fromBinary(ModelProtoSchema, content.files.get(file)!);
  for (const { output } of model.graph!.node) {
    for (const [i, name] of output.entries()) if (name === 'action') output[i] = 'one';
  }
  // Changes nothing.
  model.graph!.node.push({
    ...model.graph!.node[0]!,
    opType: 'Flatten',
    name: '',
    input: ['one'],
    output: ['action'],
    attribute: [],
  });
  const other = toBinary(ModelProtoSchema, model);
  expect(isBounded(other, [])).toBe(false);

  const observation = Float32Array.of(0.3, -0.2);
  const context = Float64Array.of(0.6, 0.8);
  const step = { reward: 1, terminated: false, nextObservation: observation };
  const episodes = [[0.1, 0.9].map((value) => ({ ...step, observation, action: Float32Array.of(value, -value) }))];
  const actionsOf = (given: ModelPackage) => {
    const adapting = createAdaptingPolicy(given, { specs: wide, threadCount: 1 });
    const act = () => {
      const actions = new Float32Array(2);
      adapting.begin(1);
      adapting.act(observation, context, actions);
      return actions;
    };
    const before = act();
    adapting.adapt({ context, episodes });
    const after = act();
    adapting.dispose();
    return { before, after };
  };
  const [byRow, together] = [
    actionsOf(content),
    actionsOf({ ...content, files: new Map([...content.files, [file, other]]) }),
  ];
  for (const phase of ['before', 'after'] as const) {
    together[phase].forEach((value, i) => {
      expect(value).toBeCloseTo(byRow[phase][i]!, 5);
    });
  }
  expect(Math.abs(byRow.after[0]! - byRow.before[0]!)).toBeGreaterThan(1e-3);
});
