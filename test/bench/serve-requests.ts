/** The requests of the serving bench, encoded beforehand so that no codec is measured in the client. Values are random: they do not change the work. */

import { create, toBinary } from '@bufbuild/protobuf';
import { createRandom, type Random } from '../../src/contract/random.ts';
import {
  ActRequestSchema,
  ActStreamRequestSchema,
  QGradRequestSchema,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';

export const observationSize = 17;
export const actionSize = 6;
export const contextSize = 2;

/** Models of the bench's store: a plain policy, a hyper policy, a hyper critic, and both hyper networks as a trainer publishes them. */
export type ModelName = 'mlp' | 'hyper' | 'critic' | 'reload';

export function normals(random: Random, count: number): Float32Array {
  const values = new Float32Array(count);
  random.fillNormal(values);
  return values;
}

const tensor = (values: Float32Array, shape: number[]) => ({
  shape,
  data: new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength),
});

const observation = normals(createRandom(1), observationSize);
const knownContext = normals(createRandom(2), contextSize);

function actMessage(model: ModelName, context: Float32Array | undefined) {
  return create(ActRequestSchema, {
    model,
    observation: tensor(observation, [1, observationSize]),
    ...(context && { contextSource: { case: 'context', value: tensor(context, [1, contextSize]) } }),
    sequence: 1n,
  });
}

/** A message of Act and one of ActStream: requests, or answers. */
export type ActPayload = { readonly act: Buffer; readonly actStream: Buffer };

/** An Act request of one row; models with a context get always the same one. */
export function actPayload(model: ModelName): ActPayload {
  const message = actMessage(model, model === 'mlp' ? undefined : knownContext);
  return {
    act: Buffer.from(toBinary(ActRequestSchema, message)),
    actStream: Buffer.from(toBinary(ActStreamRequestSchema, create(ActStreamRequestSchema, { act: message }))),
  };
}

/** Act requests of the hyper policy, each of one row with a context of its own. */
export const actWithContexts = (random: Random, count: number): Buffer[] =>
  Array.from({ length: count }, () =>
    Buffer.from(toBinary(ActRequestSchema, actMessage('hyper', normals(random, contextSize)))),
  );

/** A QGrad request: one state, or as many as actions. */
export const qGradRequest = (
  observations: Float32Array,
  actions: Float32Array,
  ascent?: { readonly stepCount: number; readonly stepSize: number },
): Buffer =>
  Buffer.from(
    toBinary(
      QGradRequestSchema,
      create(QGradRequestSchema, {
        model: 'critic',
        observation: tensor(observations, [observations.length / observationSize, observationSize]),
        action: tensor(actions, [actions.length / actionSize, actionSize]),
        ...(ascent && { ascent }),
      }),
    ),
  );
