/** Reads and checks an Act request: policy, rows, contexts, noise, and the fallback for a late answer. */

import { failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import { normalRow } from '../../src/contract/random.ts';
import type { FallbackName } from '../../src/contract/words.ts';
import type { ActRequest } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Call } from '../call/rpc.ts';
import { decodeRows, noContext, type Rows } from '../call/tensors.ts';
import type { HandleContext } from '../handles/handle-context.ts';
import type { ServedPolicy } from '../models/served-network.ts';
import type { ServedVersion } from '../models/served-version.ts';
import type { GeneratedWeights } from '../weights/generated-weights.ts';
import { type ComputeDeps, weightsOf } from './context-handles.ts';
import { fallbackOf } from './fallback.ts';
import { checkClient, oneOrEach, partOf, readContexts, seedOf } from './request-checks.ts';

/** The random draw of an action; both fields are undefined for a deterministic action. */
type Draw = { readonly seed: number | undefined; readonly noise: Float32Array | undefined };

export type ActPlan = {
  readonly policy: ServedPolicy;
  readonly observation: Rows;
  /** One row, or one per observation; undefined if the policy takes no context, or if there are `weights`. */
  readonly contexts?: Rows | undefined;
  /** Weights of a context handle, for all rows. */
  readonly weights?: GeneratedWeights | undefined;
  readonly draw: Draw;
  readonly fallback: FallbackName;
};

/** @throws HyperpolicyError: everything that the proto lists for Act, except what depends on time */
export function readActRequest(
  served: ServedVersion,
  request: ActRequest,
  call: Call,
  { config, handles }: ComputeDeps,
): ActPlan {
  const policy = policyFor(served, request);
  const { rowCountMax } = config;
  const { model, observationSize, actionSize } = served;
  const rule = { where: 'Act observation', columnCount: observationSize, rowCountMax, model };
  const observation = decodeRows(request.observation, rule);
  const { rowCount } = observation;
  const state = handles.find('Act', served, request.contextSource, call);
  const context =
    state === undefined ? { contexts: contextRows(served, request, { rowCount, rowCountMax }) } : contextOf(state);
  const draw = drawNoise(request, rowCount, actionSize);
  return { policy, observation, ...context, draw, fallback: fallbackOf(request, call) };
}

/** The policy, if it can do what the request asks for. */
function policyFor(served: ServedVersion, request: ActRequest): ServedPolicy {
  checkClient('Act', served, request);
  const policy = partOf('Act', served, { part: served.policy, name: 'a policy' });
  if (policy.stochastic || !(request.sample || request.logProb)) return policy;
  throw failedPrecondition({
    where: `Act ${request.sample ? 'sample' : 'log_prob'}`,
    expected: 'a stochastic policy',
    actual: `model "${served.model}", whose policy is deterministic`,
  });
}

const contextOf = (state: HandleContext['state']): Pick<ActPlan, 'contexts' | 'weights'> =>
  state.kind === 'weights' ? { weights: weightsOf(state) } : { contexts: { values: state.context, rowCount: 1 } };

/** The contexts of a request: one row, or one per observation; undefined if the policy takes none. */
function contextRows(
  { model, contextSize, manifest, policy }: ServedVersion,
  { contextSource }: ActRequest,
  { rowCount, rowCountMax }: { readonly rowCount: number; readonly rowCountMax: number },
): Rows | undefined {
  const alternative = manifest.encoder === null ? undefined : 'a context_handle of Adapt';
  const taker = { name: `model "${model}"`, model, contextSize, rowCountMax, alternative };
  const rows = readContexts('Act', contextSource, taker);
  if (rows === undefined) return policy?.weights === undefined ? undefined : noContext;
  return oneOrEach(rows, 'Act context', 'observation', rowCount);
}

function drawNoise({ sample, seed }: ActRequest, rowCount: number, actionSize: number): Draw {
  if (!sample) {
    if (seed === undefined) return { seed: undefined, noise: undefined };
    const remedy = 'Set sample';
    throw invalidArgument({ where: 'Act seed', expected: 'none without sample', actual: `${seed}`, remedy });
  }
  const used = seedOf('Act', seed);
  const noise = new Float32Array(rowCount * actionSize);
  for (let row = 0; row < rowCount; row++) normalRow(used, row, actionSize, noise, row * actionSize);
  return { seed: used, noise };
}
