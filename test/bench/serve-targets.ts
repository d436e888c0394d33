/** What the serving bench drives: raw clients with requests that were encoded beforehand, so that no codec is measured in the client. */

import { create, toBinary } from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import {
  ActRequestSchema,
  ActStreamRequestSchema,
  QGradRequestSchema,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { createRandom, type Random } from '../../src/spec/random.ts';

export const observationSize = 17;
export const actionSize = 6;
export const contextSize = 2;

export const paths = {
  act: '/hyperpolicy.v1.PolicyService/Act',
  actStream: '/hyperpolicy.v1.PolicyService/ActStream',
  qGrad: '/hyperpolicy.v1.PolicyService/QGrad',
  echo: '/bench.Echo/Echo',
  echoStream: '/bench.Echo/EchoStream',
} as const;

/** A call that can be repeated. */
export type Call = () => Promise<Buffer>;

export type RawStream = {
  /** Sends and waits for the next answer. */
  readonly call: Call;
  /** Sends `count` messages, at most `window` ahead of their answers; resolves with the last answer. */
  pipeline(count: number, window: number): Promise<void>;
  close(): void;
};

export type RawClient = {
  call(path: string, bytes: Buffer): Promise<Buffer>;
  stream(path: string, bytes: Buffer): RawStream;
  close(): void;
};

const identity = (bytes: Buffer) => bytes;

export function rawClient(port: number): RawClient {
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
    'grpc.enable_channelz': 0,
    'grpc.use_local_subchannel_pool': 1,
  });
  return {
    call: (path, bytes) =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(path, identity, identity, bytes, (error, response) =>
          error === null ? resolve(response!) : reject(error),
        );
      }),
    stream: (path, bytes) => rawStream(client.makeBidiStreamRequest(path, identity, identity), bytes),
    close: () => client.close(),
  };
}

function rawStream(stream: grpc.ClientDuplexStream<Buffer, Buffer>, bytes: Buffer): RawStream {
  let onAnswer: (answer: Buffer) => void = () => {};
  stream.on('data', (answer: Buffer) => onAnswer(answer));
  stream.on('error', () => {});
  return {
    call: () =>
      new Promise((resolve) => {
        onAnswer = resolve;
        stream.write(bytes);
      }),
    pipeline: (count, window) =>
      new Promise((resolve) => {
        let sent = 0;
        let answered = 0;
        const send = () => {
          while (sent < count && sent - answered < window) {
            sent++;
            stream.write(bytes);
          }
        };
        onAnswer = () => {
          answered++;
          if (answered === count) resolve();
          else if (sent - answered < window / 2) send();
        };
        send();
      }),
    close: () => stream.end(),
  };
}

export const normals = (random: Random, count: number): Float32Array =>
  Float32Array.from({ length: count }, () => random.normal());

const tensor = (values: Float32Array, shape: number[]) => ({
  shape,
  data: new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength),
});

const random = createRandom(1);
const observation = normals(random, observationSize);

function actMessage(model: string, context?: Float32Array) {
  return create(ActRequestSchema, {
    model,
    observation: tensor(observation, [1, observationSize]),
    ...(context && { contextSource: { case: 'context', value: tensor(context, [1, contextSize]) } }),
    sequence: 1n,
  });
}

/** An Act request of one row. */
export const actBytes = (model: string, context?: Float32Array): Buffer =>
  Buffer.from(toBinary(ActRequestSchema, actMessage(model, context)));

/** The same as a message of ActStream. */
export const actStreamBytes = (model: string, context?: Float32Array): Buffer =>
  Buffer.from(toBinary(ActStreamRequestSchema, create(ActStreamRequestSchema, { act: actMessage(model, context) })));

/** A QGrad request: one state or as many as actions. */
export const qGradBytes = (observations: Float32Array, actions: Float32Array): Buffer =>
  Buffer.from(
    toBinary(
      QGradRequestSchema,
      create(QGradRequestSchema, {
        model: 'hyper',
        observation: tensor(observations, [observations.length / observationSize, observationSize]),
        action: tensor(actions, [actions.length / actionSize, actionSize]),
      }),
    ),
  );
