/** The TypeScript clients for the cases: over gRPC, with streams, and over Connect. */

import { create, type DescMessage, type JsonValue, type MessageInitShape, toJson } from '@bufbuild/protobuf';
import {
  type ActOptions,
  type ActResult,
  type ActStreamEvent,
  type AdaptResult,
  createConnectClient,
  createPolicyClient,
  HyperpolicyError,
  type PolicyCalls,
  type PolicyClient,
  type QGradResult,
  type Tensor,
} from '../../../clients/typescript/index.ts';
import { bytesOf } from '../../../src/contract/bytes.ts';
import { statusByKind } from '../../../src/contract/status.ts';
import { fallbacks } from '../../../src/contract/words.ts';
import {
  ActResponseSchema,
  AdaptResponseSchema,
  GetModelResponseSchema,
  ListModelsResponseSchema,
  PrepareResponseSchema,
  QGradResponseSchema,
} from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { type ClientCall, type ClientPeer, type ClientStream, type Fields, type Told, Unsayable } from './peer.ts';

/** Longer than a busy machine takes; above the server's limits, which are what is asked for. */
const patient = { timeoutMs: 30_000, messageBytesMax: 2 ** 24 };

export const grpcPeer = (address: string): ClientPeer =>
  peerOf((token) => createPolicyClient({ address, ...patient, ...(token !== undefined && { token }) }), openStream);

export const connectPeer = (url: string): ClientPeer => ({
  ...peerOf((token) => createConnectClient({ url, ...patient, ...(token !== undefined && { token }) })),
  // Messages over the limit: gRPC's library has other words than the HTTP port.
  isAlike: (expected, text) =>
    /larger than max|response: expected at most/.test(expected) &&
    /^\w+ (body|response): expected at most \d+ bytes, got more/.test(text),
});

type Closable = PolicyCalls & { close(): void };

/** A client for each token. */
function peerOf<C extends Closable>(
  make: (token?: string) => C,
  open?: (client: C, request: Fields, more: object) => ClientStream,
): ClientPeer {
  const clients = new Map<string | undefined, C>();
  const clientOf = (token: string | undefined): C => {
    const client = clients.get(token) ?? make(token);
    clients.set(token, client);
    return client;
  };
  return {
    call: async ({ token, ...one }) => callOf(clientOf(token), one),
    ...(open !== undefined && {
      open: async ({ token, request, follow, newestWins }) => open(clientOf(token), request, { follow, newestWins }),
    }),
    async close() {
      for (const client of clients.values()) client.close();
    },
  };
}

async function callOf(client: PolicyCalls, { method, request, deadlineMs }: ClientCall): Promise<Told> {
  const given = argumentsOf(request) as never;
  let isSent = false;
  const call = {
    ...(deadlineMs !== undefined && { timeoutMs: deadlineMs }),
    // Looked at when the arguments are found good.
    get metadata() {
      isSent = true;
      return { 'x-case': 'conformance' };
    },
  };
  const calls: Readonly<Record<string, () => Promise<JsonValue>>> = {
    Act: async () => actJson(await client.act(given, call)),
    QGrad: async () => qGradJson(await client.qGrad(given, call)),
    Adapt: async () => adaptJson(await client.adapt(given, call)),
    Prepare: async () => json(PrepareResponseSchema, await client.prepare(given, call)),
    ListModels: async () => json(ListModelsResponseSchema, { models: await client.listModels(call) }),
    GetModel: async () => json(GetModelResponseSchema, await client.getModel(given, call)),
  };
  if (method === 'ListModels' && Object.keys(request).length > 0) throw new Unsayable('an argument');
  return settled(method, calls[method]!(), () => !isSent);
}

function openStream(client: PolicyClient, first: Fields, more: object): ClientStream {
  const { model, version, label, fingerprint, clientId } = argumentsOf(first);
  const of = Object.entries({ model, version, label, fingerprint, clientId, ...more }).filter(
    ([, value]) => value !== undefined,
  );
  let tellOver = () => {};
  const over = new Promise<void>((resolve) => {
    tellOver = resolve;
  });
  const onEvent = ({ kind }: ActStreamEvent) => kind === 'ended' && tellOver();
  const stream = client.actStream({ ...Object.fromEntries(of), onEvent } as never);
  const ending = () =>
    settled('ActStream', stream.error === undefined ? Promise.resolve({}) : Promise.reject(stream.error));
  return {
    act(request) {
      const { sequence: _, ...given } = argumentsOf(request);
      // The stream's own wait would be that of the budget.
      return settled(
        'Act',
        stream.act(given as never, given.budgetUs === undefined ? {} : { timeoutMs: patient.timeoutMs }).then(actJson),
      );
    },
    async over() {
      await over;
      return ending();
    },
    async close() {
      await stream.close();
      return ending();
    },
  };
}

/** @param isOwn whether a refusal is the client's; by default what it says of the stream */
async function settled(method: string, answer: Promise<JsonValue>, isOwn?: () => boolean): Promise<Told> {
  try {
    return { status: 'OK', json: await answer };
  } catch (error) {
    if (error instanceof Unsayable) throw error;
    const { message } = error as Error;
    if (!(error instanceof HyperpolicyError)) {
      return { status: 'INTERNAL', text: message.replace(`${method}: `, ''), isOwn: false };
    }
    const status = error.kind === 'superseded' ? 'SUPERSEDED' : statusByKind[error.kind];
    // What gRPC's library says has no form.
    const text = message.replace(`${method}: expected an answer, got `, '');
    return { status, text, isOwn: isOwn?.() ?? refusesItself(error) };
  }
}

/** Requests of a stream that the client refuses before it sends them: what was given is not what it takes. */
const refusesItself = ({ kind, where }: HyperpolicyError): boolean =>
  kind === 'invalid_argument' && /^Act \w/.test(where);

/** What the client takes in place of a request's fields. */
const argumentsOf = (request: Fields): Record<string, unknown> & Partial<ActOptions> =>
  Object.fromEntries(Object.entries(request).map(([name, value]) => [name, argumentOf(name, value)]));

const words: Readonly<Record<string, string>> = { fallback: 'FALLBACK_', reduction: 'REDUCTION_', pinning: 'PINNING_' };

function argumentOf(name: string, value: JsonValue): unknown {
  const prefix = words[name];
  if (prefix !== undefined) {
    if (typeof value !== 'string') throw new Unsayable('a number of an enum');
    return value.replace(prefix, '').toLowerCase();
  }
  if (name === 'sequence') return BigInt(value as string);
  if (name === 'seed') return Number(value);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  if ('repeated' in value) return (value.repeated as string).repeat(value.count as number);
  return 'shape' in value ? tensorOf(value as never) : value;
}

type TensorFields = { shape: number[]; values?: (number | string)[]; fill?: number; bytes?: number };

function tensorOf({ shape, values, fill = 0, bytes }: TensorFields): Tensor {
  const size = shape.reduce((product, each) => product * each, 1);
  if (bytes !== undefined && bytes !== 4 * size) throw new Unsayable('bytes that are not as the shape');
  return { shape, values: Float32Array.from(values?.map(Number) ?? Array.from({ length: size }, () => fill)) };
}

const json = <S extends DescMessage>(schema: S, message: MessageInitShape<S>): JsonValue =>
  toJson(schema, create(schema, message));

const tensor = (given: Tensor | undefined) => given && { shape: [...given.shape], data: bytesOf(given.values) };

const actJson = ({ action, logProb, seed, fallback, ...head }: ActResult): JsonValue =>
  json(ActResponseSchema, {
    ...head,
    action: tensor(action)!,
    ...(logProb && { logProb: tensor(logProb)! }),
    ...(seed !== undefined && { seed: BigInt(seed) }),
    ...(fallback && { fallbackTaken: { ...fallback, fallback: fallbacks[fallback.kind] } }),
  });

const qGradJson = ({ q, dqDa, action, ...head }: QGradResult): JsonValue =>
  json(QGradResponseSchema, {
    ...head,
    q: tensor(q)!,
    dqDa: tensor(dqDa)!,
    ...(action && { action: tensor(action)! }),
  });

function adaptJson({ posterior, weights, ...head }: AdaptResult): JsonValue {
  if (posterior === undefined)
    return json(AdaptResponseSchema, { ...head, result: { case: 'weights', value: weights! } });
  const { mean, variance, context, seed, transitionCount } = posterior;
  const value = {
    mean: tensor(mean)!,
    variance: tensor(variance)!,
    context: tensor(context)!,
    seed: BigInt(seed),
    transitionCount: BigInt(transitionCount),
  };
  return json(AdaptResponseSchema, { ...head, result: { case: 'posterior', value } });
}
