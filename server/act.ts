/**
 * Act: observations [B, O] to actions [B, A], float32, environment units.
 *
 * Errors: NOT_FOUND model, version, label or handle; INVALID_ARGUMENT a tensor; FAILED_PRECONDITION fingerprint, no policy,
 * sampling a deterministic policy; DEADLINE_EXCEEDED before anything was computed. Codes and metrics are applied in grpc.ts.
 */

import { randomInt } from 'node:crypto';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ActRequest, ActResponseSchema } from '../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { failedPrecondition, invalidArgument, notFound } from '../src/spec/errors.ts';
import { normalRow } from '../src/spec/random.ts';
import type { ServerConfig } from './config.ts';
import { checkClientId, checkDeadline, checkFingerprint } from './request-checks.ts';
import type { Call } from './rpc.ts';
import type { PolicyInputs, PolicyOutputs, ServedPolicy } from './served-policy.ts';
import { type ServedVersion, whenHeld } from './served-version.ts';
import { decodeRows, distinctRows, encodeTensor, type Rows, repeatRow } from './tensors.ts';
import { createTimer, type RequestTimer } from './timing.ts';

export type ActResponseInit = MessageInitShape<typeof ActResponseSchema>;

export type ActDeps = {
  readonly config: ServerConfig;
  /** Smoothed lateness of the event loop, microseconds. */
  readonly eventLoopDelayUs: () => number;
  /** Told the rows of each request that passed validation. */
  readonly onRows: (rowCount: number) => void;
};

/** How an action is drawn: deterministic has neither field. */
type Draw = { readonly seed: number | undefined; readonly noise: Float32Array | undefined };

/** Answers a request with a version that was resolved before. */
export type ActAnswerer = (
  served: ServedVersion,
  request: ActRequest,
  call: Call,
) => ActResponseInit | Promise<ActResponseInit>;

export function createActAnswerer({ config, onRows, eventLoopDelayUs }: ActDeps): ActAnswerer {
  return (served, request, call) => {
    const policy = policyFor(served, request);
    const observation = decodeRows(request.observation, {
      where: 'Act observation',
      columnCount: served.observationSize,
      rowCountMax: config.rowCountMax,
      model: served.model,
    });
    const contexts = contextRows(served, request, { rowCount: observation.rowCount, rowCountMax: config.rowCountMax });
    const draw = drawNoise(request, observation.rowCount, served.actionSize);
    onRows(observation.rowCount);
    checkDeadline('Act', call);

    const timer = createTimer(call, eventLoopDelayUs);
    const finish = (contextInputs: Partial<PolicyInputs>) => {
      const { rowCount, values } = observation;
      const outputs = timer.network(() =>
        policy.run({ rowCount, observation: values, noise: draw.noise, ...contextInputs }),
      );
      const answer = (done: PolicyOutputs) => respond({ served, request, draw, timer, rowCount, outputs: done });
      return outputs instanceof Promise ? whenHeld(served, async () => answer(await outputs)) : answer(outputs);
    };
    if (contexts === undefined) return finish({});
    if (policy.weights === undefined) {
      const { rowCount, values } = contexts;
      return finish({ context: rowCount === 1 ? repeatRow(values, observation.rowCount) : values });
    }
    const distinct = distinctRows(contexts, served.contextSize);
    const startMs = performance.now();
    const weights = policy.weights.weightsFor(distinct, call.deadlineMs);
    if (!(weights instanceof Promise)) return finish({ weights, index: distinct.index });
    return whenHeld(served, async () => {
      const generated = await timer.primary(startMs, weights);
      checkDeadline('Act', call);
      return finish({ weights: generated, index: distinct.index });
    });
  };
}

/** The policy that a request may use as it asks. */
function policyFor(served: ServedVersion, request: ActRequest): ServedPolicy {
  checkFingerprint('Act', served, request.fingerprint);
  checkClientId('Act', request.clientId);
  const { policy, model } = served;
  if (policy === null) {
    throw failedPrecondition({
      where: 'Act model',
      expected: 'a model with a policy',
      actual: `"${model}", which has none`,
    });
  }
  if (!policy.stochastic && (request.sample || request.logProb)) {
    const asked = request.sample ? 'sample' : 'log_prob';
    throw failedPrecondition({
      where: `Act ${asked}`,
      expected: 'a stochastic policy',
      actual: `model "${model}", whose policy is deterministic`,
    });
  }
  if (request.budgetUs !== 0 || request.fallback !== 0) {
    throw invalidArgument({
      where: request.budgetUs !== 0 ? 'Act budget_us' : 'Act fallback',
      expected: 'none',
      actual: `${request.budgetUs !== 0 ? request.budgetUs : request.fallback}`,
      remedy: 'This server does not serve budgets yet; use a gRPC deadline',
    });
  }
  return policy;
}

/** The contexts of a request: one row, or as many as there are observations; undefined where the model has none. */
function contextRows(
  served: ServedVersion,
  { contextSource }: ActRequest,
  { rowCount, rowCountMax }: { readonly rowCount: number; readonly rowCountMax: number },
): Rows | undefined {
  const { model, contextSize } = served;
  if (contextSource.case === 'contextHandle') {
    throw notFound({
      where: 'Act context_handle',
      expected: 'a handle that this server holds',
      actual: 'an unknown or expired one',
    });
  }
  if (contextSize === 0) {
    if (contextSource.case === undefined) return undefined;
    throw invalidArgument({ where: 'Act context', expected: `none: model "${model}" takes no context`, actual: 'one' });
  }
  const rows = decodeRows(contextSource.value, {
    where: 'Act context',
    columnCount: contextSize,
    rowCountMax,
    model,
  });
  if (rows.rowCount === 1 || rows.rowCount === rowCount) return rows;
  throw invalidArgument({
    where: 'Act context',
    expected: `one row, or one per observation (${rowCount})`,
    actual: `${rows.rowCount} rows`,
  });
}

function drawNoise({ sample, seed }: ActRequest, rowCount: number, actionSize: number): Draw {
  if (!sample) {
    if (seed === undefined) return { seed: undefined, noise: undefined };
    throw invalidArgument({
      where: 'Act seed',
      expected: 'none without sample',
      actual: `${seed}`,
      remedy: 'Set sample',
    });
  }
  if (seed !== undefined && seed > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw invalidArgument({ where: 'Act seed', expected: 'an integer in [0, 2^53)', actual: `${seed}` });
  }
  const used = seed === undefined ? randomInt(2 ** 48 - 1) : Number(seed);
  const noise = new Float32Array(rowCount * actionSize);
  for (let row = 0; row < rowCount; row++) normalRow(used, row, actionSize, noise, row * actionSize);
  return { seed: used, noise };
}

type Answer = {
  readonly served: ServedVersion;
  readonly request: ActRequest;
  readonly draw: Draw;
  readonly timer: RequestTimer;
  readonly rowCount: number;
  readonly outputs: PolicyOutputs;
};

function respond({ served, request, draw, timer, rowCount, outputs }: Answer): ActResponseInit {
  const { action, logProb } = outputs;
  clipActions(action, served);
  const response: ActResponseInit = {
    action: encodeTensor(action, [rowCount, served.actionSize]),
    version: served.version,
    weightAgeMs: Date.now() - served.publishedAtMs,
    sequence: request.sequence,
    timing: timer.timing(),
  };
  if (request.logProb && logProb !== undefined) response.logProb = encodeTensor(logProb, [rowCount]);
  if (draw.seed !== undefined) response.seed = BigInt(draw.seed);
  return response;
}

/** Clips to the bounds of the spec, in place. @throws Error where the policy gives a value that is not finite */
function clipActions(action: Float32Array, { actionLow, actionHigh, actionSize, model, version }: ServedVersion): void {
  for (let i = 0; i < action.length; i++) {
    const value = action[i]!;
    if (value - value !== 0)
      throw new Error(`model "${model}" version ${version}: action value ${i % actionSize} is ${value}`);
    const low = actionLow[i % actionSize]!;
    const high = actionHigh[i % actionSize]!;
    if (value < low) action[i] = low;
    else if (value > high) action[i] = high;
  }
}
