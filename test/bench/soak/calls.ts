/**
 * The calls that the soak makes: what clients do well, what they do badly, and what goes wrong under way. Each checks its answer, and
 * rejects where it is not as it must be.
 */

import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import type { CallOptions } from '../../../clients/typescript/call-options.ts';
import { createPolicyClient, type PolicyClient } from '../../../clients/typescript/client.ts';
import { HyperpolicyError } from '../../../src/contract/errors.ts';
import type { Random } from '../../../src/contract/random.ts';
import { type ActRequestSchema, ActStreamRequestSchema } from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { ModelInferRequestSchema } from '../../../src/gen/inference/grpc_predict_v2_pb.ts';
import type { SoakServer } from './server.ts';

/** The models of the soak, by kind of policy. */
export const models = { hyper: 'hyper', plain: 'plain', latent: 'latent' } as const;
export const sizes = { observationSize: 17, actionSize: 6, contextSize: 2 } as const;

/** Contexts that clients ask for, and how unevenly: the k-th is asked for about 1/k as often as the first. */
const contextCount = 1000;

export type SoakCall = { readonly name: string; readonly weight: number; run(): Promise<void> };

export type SoakCalls = { readonly calls: readonly SoakCall[]; close(): void };

export function createCalls(server: SoakServer, random: Random): SoakCalls {
  const client = createPolicyClient({ address: server.address, timeoutMs: 30_000 });
  // Calls that are cut short have a connection of their own: what they do to it, they do to themselves.
  const restless = createPolicyClient({ address: server.address, timeoutMs: 30_000 });
  const raw = new grpc.Client(server.address, grpc.credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  const rows = (rowCount: number, size: number) => ({
    shape: [rowCount, size],
    values: Float32Array.from({ length: rowCount * size }, () => random.normal()),
  });
  const observation = (rowCount = 1) => rows(rowCount, sizes.observationSize);
  const action = (rowCount = 1) => rows(rowCount, sizes.actionSize);
  const context = () => {
    // The inverse of the distribution of Zipf, roughly.
    const k = Math.floor(contextCount ** random.uniform());
    return [Math.cos(k), Math.sin(k)];
  };
  const hyper = () => ({ model: models.hyper, observation: observation(), context: context() });
  const pass = (bytes: Buffer) => bytes;
  const callRaw = (path: string, bytes: Uint8Array): Promise<grpc.status> =>
    new Promise((resolve) => {
      raw.makeUnaryRequest(path, pass, pass, Buffer.from(bytes), (error) => resolve(error?.code ?? grpc.status.OK));
    });
  const policyPath = '/hyperpolicy.v1.PolicyService';

  const calls: SoakCall[] = [
    call('Act, hyper', 30, async () => checkAction(await client.act(hyper()), 1)),
    call('Act, 64 rows', 4, async () =>
      checkAction(await client.act({ ...hyper(), observation: observation(64) }), 64),
    ),
    call('Act, plain', 10, async () => {
      checkAction(
        await client.act({ model: models.plain, observation: observation(), clientId: `${random.integer(200)}` }),
        1,
      );
    }),
    call('Act, sampled', 6, async () => {
      const request = { ...hyper(), sample: true, seed: random.integer(1000), logProb: true };
      const result = await client.act(request);
      checkAction(result, 1);
      if (result.logProb === undefined) throw new Error('expected a log-probability, got none');
    }),
    call('Act, late', 4, async () => {
      checkAction(
        await client.act({ ...hyper(), context: [random.normal(), random.normal()], budgetUs: 300, fallback: 'safe' }),
        1,
      );
    }),
    call('ActStream', 4, async () => {
      const stream = client.actStream({ model: models.hyper, follow: random.uniform() < 0.5 });
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => stream.act({ observation: observation(), context: context() })),
      );
      for (const answer of answers) checkAction(answer, 1);
      await stream.close();
    }),
    call('QGrad', 8, async () => {
      const rowCount = 1 + random.integer(16);
      const result = await client.qGrad({
        model: models.hyper,
        observation: observation(rowCount),
        action: action(rowCount),
      });
      if (result.dqDa.values.length !== rowCount * sizes.actionSize) throw new Error('expected a gradient per action');
    }),
    call('QGrad, ascent', 2, async () => {
      const ascent = { stepCount: 5, stepSize: 0.1 };
      await client.qGrad({ model: models.plain, observation: observation(), action: [0, 0, 0, 0, 0, 0], ascent });
    }),
    call('Adapt', 3, async () => {
      const steps = () => ({ observation: observation(8), action: action(8), reward: rows(8, 1).values });
      const first = await client.adapt({ model: models.latent, ...steps() });
      const { contextHandle } = await client.adapt({
        model: models.latent,
        ...steps(),
        contextHandle: first.contextHandle,
      });
      checkAction(await client.act({ model: models.latent, observation: observation(), contextHandle }), 1);
    }),
    call('Prepare', 3, async () => {
      const prepared = { model: models.hyper, context: context() };
      await client.prepare({ ...prepared, pinning: 'pin' });
      await client.prepare({ ...prepared, pinning: 'unpin' });
    }),
    call('GetModel, ListModels', 2, async () => {
      await client.getModel({ model: models.hyper });
      if ((await client.listModels()).length !== 3) throw new Error('expected three models');
    }),
    call('ModelInfer', 6, async () => {
      const { values } = observation(4);
      const request = create(ModelInferRequestSchema, {
        modelName: models.plain,
        inputs: [{ name: 'observation', datatype: 'FP32', shape: [4n, BigInt(sizes.observationSize)] }],
        rawInputContents: [new Uint8Array(values.buffer)],
      });
      const path = '/inference.GRPCInferenceService/ModelInfer';
      checkStatus(await callRaw(path, toBinary(ModelInferRequestSchema, request)), grpc.status.OK);
    }),
    call('Act over HTTP', 3, async () => {
      const { shape, values } = observation();
      const body = { model: models.plain, observation: { shape, data: Buffer.from(values.buffer).toString('base64') } };
      const response = await fetch(`${server.httpUrl}${policyPath}/Act`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      if (response.status !== 200) throw new Error(`expected status 200, got ${response.status}`);
      await response.json();
    }),
    call('bad shape', 2, () => refused(client, { ...hyper(), observation: [1, 2, 3] }, 'invalid_argument')),
    call('unknown model', 2, () => refused(client, { ...hyper(), model: `${random.uniform()}` }, 'not_found')),
    call('unknown handle', 1, () =>
      refused(client, { model: models.hyper, observation: observation(), contextHandle: 'nobody has it' }, 'not_found'),
    ),
    call('not a message', 2, async () => {
      checkStatus(await callRaw(`${policyPath}/Act`, Buffer.from([0xff, 0xff])), grpc.status.INVALID_ARGUMENT);
    }),
    call('unknown method', 1, async () => {
      checkStatus(await callRaw(`${policyPath}/Nope`, Buffer.alloc(0)), grpc.status.UNIMPLEMENTED);
    }),
    call('too large', 0.2, async () => {
      checkStatus(await callRaw(`${policyPath}/Act`, Buffer.alloc(5 * 1024 * 1024)), grpc.status.RESOURCE_EXHAUSTED);
    }),
    call('cancelled', 0.5, async () => {
      const abort = new AbortController();
      setImmediate(() => abort.abort(new Error('never mind')));
      await orAborted(restless, { ...hyper(), context: [random.normal(), random.normal()] }, { signal: abort.signal });
    }),
    call('stream that is left', 0.5, () =>
      leaveStream(server.address, {
        model: models.hyper,
        observation: { shape: [1, sizes.observationSize], data: bytesOf(observation()) },
        contextSource: {
          case: 'context',
          value: { shape: [2], data: new Uint8Array(Float32Array.of(random.normal(), 0).buffer) },
        },
      }),
    ),
    call('new connection', 0.5, async () => {
      const own = createPolicyClient({ address: server.address });
      checkAction(await own.act(hyper()), 1);
      own.close();
    }),
    call('not HTTP/2', 0.3, () => sendGarbage(server.address)),
  ];
  return {
    calls,
    close() {
      client.close();
      restless.close();
      raw.close();
    },
  };
}

const call = (name: string, weight: number, run: () => Promise<void>): SoakCall => ({ name, weight, run });

function checkAction({ action }: Awaited<ReturnType<PolicyClient['act']>>, rowCount: number): void {
  if (action.values.length !== rowCount * sizes.actionSize) throw new Error('expected an action per row');
  for (const value of action.values)
    if (!(Math.abs(value) <= 1)) throw new Error(`expected a bounded action, got ${value}`);
}

function checkStatus(actual: grpc.status, expected: grpc.status): void {
  if (actual !== expected) throw new Error(`expected ${grpc.status[expected]}, got ${grpc.status[actual]}`);
}

/** Resolves where the call is refused with this kind of error. */
async function refused(
  client: PolicyClient,
  request: Parameters<PolicyClient['act']>[0],
  kind: HyperpolicyError['kind'],
): Promise<void> {
  try {
    await client.act(request);
  } catch (error) {
    if (error instanceof HyperpolicyError && error.kind === kind) return;
    throw error;
  }
  throw new Error(`expected ${kind}, got an answer`);
}

async function orAborted(
  client: PolicyClient,
  request: Parameters<PolicyClient['act']>[0],
  options: CallOptions,
): Promise<void> {
  try {
    await client.act(request, options);
  } catch (error) {
    if ((error as Error).message !== 'never mind') throw error;
  }
}

const bytesOf = ({ values }: { readonly values: Float32Array }): Uint8Array =>
  new Uint8Array(values.buffer as ArrayBuffer);

/** Opens a stream, waits for its first answer, asks again, and is gone with its connection before the second. */
function leaveStream(address: string, act: MessageInitShape<typeof ActRequestSchema>): Promise<void> {
  const message = toBinary(ActStreamRequestSchema, create(ActStreamRequestSchema, { act }));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  const frame = Buffer.concat([head, message]);
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://${address}`);
    session.on('error', reject);
    session.on('close', () => resolve());
    const path = '/hyperpolicy.v1.PolicyService/ActStream';
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', reject);
    stream.once('data', () => {
      stream.write(frame);
      setImmediate(() => session.destroy());
    });
    stream.write(frame);
  });
}

/** A connection that speaks something else; over when the server has cut it. */
function sendGarbage(address: string): Promise<void> {
  const [host, port] = address.split(':');
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), host!, () => socket.write('GET / HTTP/1.1\r\nHost: nobody\r\n\r\n'));
    socket.setTimeout(30_000, () => reject(new Error('expected the connection cut, got silence')));
    socket.on('close', () => resolve());
    socket.on('error', () => {});
    socket.resume();
  });
}
