/** Answers of networks of paper size, client to server and back on one machine. */

import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { createRandom } from '../../../src/contract/random.ts';
import { ActRequestSchema } from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { publishRandomPackage } from '../../../trainer/export/random-package.ts';
import type { Target } from '../measure.ts';
import { paths, type RawClient, rawClient } from '../serve-client.ts';
import type { ServerChild } from '../serve-processes.ts';
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
import { guarded, type Section } from './section.ts';
import { startServer } from './server.ts';

const roundCount = 15;
const warmCount = 3;
const callsAtOnce = 64;
const callMs = 30_000;
const ascent = { stepCount: 100, stepSize: 1e-3 };

/** Milliseconds on an NVIDIA H100. */
const targets: Readonly<Record<string, number>> = {
  'QGrad, 1 new state': 1.5,
  'QGrad, 256 new states': 2.5,
  'QGrad, 2048 new states': 5,
  'Act, 1024 new contexts in one call': 5,
  'Act, 64 calls of a new context each': 4,
};

export async function latencies(section: Section): Promise<void> {
  const { device, isQuick, lines, scratch, signal } = section;
  const store = join(scratch, 'store');
  for (const model of ['hyper', 'critic'] as const) {
    if (isQuick) await publishSmall(store, model);
    else await publish(store, model);
  }
  const measure = { device, isQuick, lines, signal, store };
  // Beside `auto`, `kept` shows what the joined run of primary and dynamic network saves.
  for (const newRows of ['auto', 'kept'] as const) {
    await guarded(section, 'latencies', { newRows }, () => measureCalls({ ...measure, newRows }));
  }
}

type Measured = Pick<Section, 'device' | 'isQuick' | 'lines' | 'signal'> & {
  readonly store: string;
  readonly newRows: 'auto' | 'kept';
};

async function measureCalls({ device, isQuick, lines, signal, store, newRows }: Measured): Promise<void> {
  const server = await startServer({ device, lines, signal }, store, ['--new-rows', newRows]);
  const client = rawClient(server.port, callMs);
  const calls = callsOf(client);
  const target = (name: string): Target | undefined =>
    device === 'cuda' && newRows === 'auto' && targets[name] !== undefined
      ? { bound: 'most', value: targets[name] }
      : undefined;
  const suffix = newRows === 'auto' ? '' : ', weights kept';
  const measureCall = async (name: string, call: () => Promise<unknown>) => {
    const times: number[] = [];
    const [skipped, counted] = isQuick ? [0, 1] : [warmCount, roundCount];
    for (let round = 0; round < skipped + counted; round++) {
      const begin = performance.now();
      await call();
      if (round >= skipped) times.push(performance.now() - begin);
    }
    const most = quantile(times, 1);
    lines.figure(`${name}${suffix}, ms p50`, quantile(times, 0.5), { most, target: target(name) });
  };
  const measure = async () => {
    for (const [name, call] of Object.entries(calls)) {
      await guarded({ lines, signal }, `${name}${suffix}`, { device }, () => measureCall(name, call));
    }
  };
  try {
    const rowCounts = await fusedRows(server, measure);
    if (newRows === 'kept' || device === 'cpu') return;
    for (const [graph, rowCount] of Object.entries(rowCounts)) {
      lines.check('new rows run fused', rowCount > 0, { graph, rowCount });
    }
  } finally {
    client.close();
    await server.stop();
  }
}

/** Rows that joined graphs ran meanwhile, by graph: not those of probes, nor of a load that measures. */
export async function fusedRows(
  server: Pick<ServerChild, 'metric'>,
  work: () => Promise<void>,
): Promise<Readonly<Record<string, number>>> {
  const graphs = ['critic.fused', 'policy.fused'];
  const counts = () =>
    Promise.all(graphs.map((graph) => server.metric(`hyperpolicy_batch_rows_sum{graph="${graph}"}`)));
  const before = await counts();
  await work();
  const after = await counts();
  return Object.fromEntries(graphs.map((graph, i) => [graph, after[i]! - before[i]!]));
}

/** By name: what is measured. */
function callsOf(client: RawClient): Readonly<Record<string, () => Promise<unknown>>> {
  const random = createRandom(7);
  const act = (request: Buffer) => client.call(paths.act, request);
  const gradients =
    (count: number, ...ascent: [{ stepCount: number; stepSize: number }?]) =>
    () =>
      client.call(
        paths.qGrad,
        qGradRequest(normals(random, count * observationSize), normals(random, count * actionSize), ...ascent),
      );
  const known = actPayload('hyper').act;
  return {
    'QGrad, 1 new state': gradients(1),
    'QGrad, 256 new states': gradients(256),
    'QGrad, 2048 new states': gradients(2048),
    'QGrad, 1 new state, 100 steps': gradients(1, ascent),
    'QGrad, 256 new states, 100 steps': gradients(256, ascent),
    'Act, 1 new context': () => act(actOf(random, 1)),
    'Act, 1024 new contexts in one call': () => act(actOf(random, 1024)),
    'Act, 64 calls of a new context each': () => Promise.all(actWithContexts(random, callsAtOnce).map(act)),
    'Act, known context': () => act(known),
  };
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
