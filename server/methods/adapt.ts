/**
 * Adapt: experience of one task to a context that the server keeps: either a posterior with a context drawn from it, or weights after
 * one more inner step.
 *
 * Errors: as Act; FAILED_PRECONDITION where the model does not adapt, or a handle is of another model or version; RESOURCE_EXHAUSTED
 * no room for handles.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { policyGradientCoefficients } from '../../src/advantages/policy-gradient.ts';
import type { Sliced } from '../../src/contract/sliced.ts';
import type { AdaptRequest, AdaptResponseSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { drawContext, type Gaussian } from '../../src/posterior/latent-knowledge.ts';
import { checkResult, type Sent } from '../call/finite.ts';
import type { Call, UnaryHandler } from '../call/rpc.ts';
import { encodeTensor } from '../call/tensors.ts';
import type { HandleContext } from '../handles/handle-context.ts';
import { type PosteriorPlan, readAdaptRequest, type StepPlan } from './adapt-request.ts';
import { type ComputeDeps, weightsOf } from './context-handles.ts';
import { checkDeadline } from './due-time.ts';
import { Task } from './task.ts';

export type AdaptResponseInit = MessageInitShape<typeof AdaptResponseSchema>;

type Adapted = { readonly state: HandleContext['state']; readonly result: NonNullable<AdaptResponseInit['result']> };

/** For errors: what happens to a late result. */
const lost = 'Nothing is kept';

export function createAdaptHandler(deps: ComputeDeps): UnaryHandler<AdaptRequest, AdaptResponseInit> {
  const { handles } = deps;
  return (request, call) => {
    const served = handles.resolve('Adapt', request, call);
    const plan = readAdaptRequest(served, request, call, deps);
    const task = new Task({ method: 'Adapt', served, call, rowCount: plan.experience?.rowCount ?? 0 }, deps);
    checkDeadline('Adapt', call);
    return task.inTime(async () => {
      const { state, result } = await (plan.kind === 'posterior' ? inferPosterior(plan, task) : takeStep(plan, task));
      // The client has got an error instead, so it would never learn the handle.
      if (task.isLate) throw task.lateError(lost);
      const contextHandle = await handles.put(served, call, state);
      return { ...task.responseTo(request), contextHandle, expiresAfterMs: handles.timeToLiveMs, result };
    }, lost);
  };
}

async function inferPosterior({ encoder, experience, from, seed }: PosteriorPlan, task: Task): Promise<Adapted> {
  const before = from ?? encoder.nothing;
  const known =
    experience === undefined ? before : await task.network(() => encoder.learn(before, experience, task.call));
  const posterior = encoder.posteriorOf(known);
  const context = seed === undefined ? posterior.mean : drawContext(posterior, seed);
  const { observation, action, reward, nextObservation } = experience ?? {};
  const sent = { method: 'Adapt', values: [observation, action, reward, nextObservation, from?.context] };
  checkPosterior({ ...posterior, context }, sent);
  const vector = (values: Float32Array) => encodeTensor(values, [values.length]);
  const { transitionCount, values } = known;
  return {
    state: { kind: 'posterior', transitionCount, values, context },
    result: {
      case: 'posterior',
      value: {
        mean: vector(posterior.mean),
        variance: vector(posterior.variance),
        context: vector(context),
        seed: BigInt(seed ?? 0),
        transitionCount: BigInt(transitionCount),
      },
    },
  };
}

async function takeStep({ step, experience, lengths, from }: StepPlan, task: Task): Promise<Adapted> {
  const { call } = task;
  // The context of the request is a view of a larger buffer, so a copy is kept.
  const { before, context, stepCount } =
    'kind' in from
      ? { before: weightsOf(from), context: from.context, stepCount: from.stepCount }
      : {
          before: (await task.weights(step.source, step.source.lookUp(from))).entries[0]!,
          context: from.values.slice(),
          stepCount: 0,
        };
  const coefficient = await inSlices(policyGradientCoefficients({ ...experience, lengths }, step.advantages), call);
  const after = await task.network(() => step.step({ weights: before, context }, { ...experience, coefficient }, call));
  return {
    state: { kind: 'weights', stepCount: stepCount + 1, context, block: after.block },
    result: { case: 'weights', value: { stepCount: stepCount + 1, stepNorm: distance(before.block, after.block) } },
  };
}

/** A Gaussian of float64 sums may not fit float32. @throws Error as badResult */
export function checkPosterior(posterior: Gaussian & { readonly context: Float32Array }, sent: Sent): void {
  for (const part of ['mean', 'variance', 'context'] as const) checkResult(`posterior ${part}`, posterior[part], sent);
}

/** Other requests run between slices. @throws HyperpolicyError deadline_exceeded as soon as it is late */
async function inSlices<T>(work: Sliced<T>, call: Call): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
    await new Promise(setImmediate);
    checkDeadline('Adapt', call, lost);
  }
}

/** Euclidean distance. */
function distance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return Math.sqrt(sum);
}
