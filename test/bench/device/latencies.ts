/** Answers of networks of paper size, client to server and back on one machine. */

import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { createRandom } from '../../../src/contract/random.ts';
import { ActRequestSchema } from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { publishRandomPackage } from '../../../trainer/export/random-package.ts';
import type { Target } from '../measure.ts';
import { paths, rawClient } from '../serve-client.ts';
import { startServerProcess } from '../serve-processes.ts';
import {
  actionSize,
  actPayload,
  actWithContexts,
  contextSize,
  normals,
  observationSize,
  qGradRequest,
} from '../serve-requests.ts';
import { publish } from '../serve-setup.ts';
import { quantile } from '../statistics.ts';
import type { Section } from './section.ts';

const roundCount = 15;
const warmCount = 3;
const callsAtOnce = 64;

/** Milliseconds on an NVIDIA H100. */
const targets: Readonly<Record<string, number>> = {
  'QGrad, 1 new state': 1.5,
  'QGrad, 256 new states': 2.5,
  'QGrad, 2048 new states': 5,
  'Act, 1024 new contexts in one call': 5,
  'Act, 64 calls of a new context each': 4,
};

export async function latencies({ device, isQuick, lines, scratch }: Section): Promise<void> {
  const store = join(scratch, 'store');
  for (const model of ['hyper', 'critic'] as const) {
    if (isQuick) await publishSmall(store, model);
    else await publish(store, model);
  }
  const server = await startServerProcess(store, ['--device', device]);
  const client = rawClient(server.port);
  const random = createRandom(7);
  const act = (request: Buffer) => client.call(paths.act, request);
  const gradients = (count: number) => () =>
    client.call(
      paths.qGrad,
      qGradRequest(normals(random, count * observationSize), normals(random, count * actionSize)),
    );
  const known = actPayload('hyper').act;
  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    'QGrad, 1 new state': gradients(1),
    'QGrad, 256 new states': gradients(256),
    'QGrad, 2048 new states': gradients(2048),
    'Act, 1 new context': () => act(actOf(random, 1)),
    'Act, 1024 new contexts in one call': () => act(actOf(random, 1024)),
    'Act, 64 calls of a new context each': () => Promise.all(actWithContexts(random, callsAtOnce).map(act)),
    'Act, known context': () => act(known),
  };
  const target = (name: string): Target | undefined =>
    device === 'cuda' && targets[name] !== undefined ? { bound: 'most', value: targets[name] } : undefined;
  try {
    for (const [name, call] of Object.entries(calls)) {
      const times: number[] = [];
      const [skipped, counted] = isQuick ? [0, 1] : [warmCount, roundCount];
      for (let round = 0; round < skipped + counted; round++) {
        const begin = performance.now();
        await call();
        if (round >= skipped) times.push(performance.now() - begin);
      }
      lines.figure(`${name}, ms p50`, quantile(times, 0.5), { most: quantile(times, 1), target: target(name) });
    }
  } finally {
    client.close();
    await server.stop();
  }
}

/** @param count rows, each with an observation and a context of its own */
function actOf(random: Parameters<typeof normals>[0], count: number): Buffer {
  const tensor = (size: number) => ({
    shape: [count, size],
    data: new Uint8Array(normals(random, count * size).buffer as ArrayBuffer),
  });
  const message = create(ActRequestSchema, {
    model: 'hyper',
    observation: tensor(observationSize),
    contextSource: { case: 'context', value: tensor(contextSize) },
    sequence: 1n,
  });
  return Buffer.from(toBinary(ActRequestSchema, message));
}

const publishSmall = (store: string, model: 'hyper' | 'critic') =>
  publishRandomPackage({
    store,
    model,
    policy: model === 'hyper' ? 'hyper' : 'none',
    critic: model === 'critic' ? 'hyper' : 'none',
    hiddenSize: 32,
    trunkSizes: [32],
  });
