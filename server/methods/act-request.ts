/** What an Act request asks for, checked: which policy, rows, contexts and noise, until when, and what instead. */

import { failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import { normalRow } from '../../src/contract/random.ts';
import type { ActRequest } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Call } from '../call/rpc.ts';
import { decodeRows, noContext, type Rows } from '../call/tensors.ts';
import type { ServerConfig } from '../config.ts';
import type { HandleContext } from '../handles/handle-context.ts';
import type { ServedPolicy } from '../models/served-policy.ts';
import type { ServedVersion } from '../models/served-version.ts';
import type { GeneratedWeights } from '../weights/generated-weights.ts';
import { type ContextHandles, weightsOf } from './context-handles.ts';
import { type Due, dueOf } from './due-time.ts';
import { type FallbackName, fallbackOf } from './fallback.ts';
import { checkClientId, checkFingerprint, seedOf } from './request-checks.ts';

/** How an action is drawn: deterministic has neither field. */
export type Draw = { readonly seed: number | undefined; readonly noise: Float32Array | undefined };

export type ActPlan = {
  readonly policy: ServedPolicy;
  readonly observation: Rows;
  /** One row or as many as there are observations; undefined where the policy reads none, or there are weights. */
  readonly contexts?: Rows | undefined;
  /** For all rows: those of a handle. */
  readonly weights?: GeneratedWeights | undefined;
  readonly draw: Draw;
  readonly due: Due | undefined;
  readonly fallback: FallbackName;
};

/** @throws HyperpolicyError: everything that the proto lists for Act, except what depends on time */
export function readActRequest(
  served: ServedVersion,
  request: ActRequest,
  call: Call,
  { config, handles }: { readonly config: ServerConfig; readonly handles: ContextHandles },
): ActPlan {
  const { rowCountMax, deadlineMarginMs } = config;
  const policy = policyFor(served, request);
  const observation = decodeRows(request.observation, {
    where: 'Act observation',
    columnCount: served.observationSize,
    rowCountMax,
    model: served.model,
  });
  const { rowCount } = observation;
  const { contextSource } = request;
  const context =
    contextSource.case === 'contextHandle'
      ? handleContext(handles.find('Act', served, contextSource.value, call))
      : { contexts: contextRows(served, request, { rowCount, rowCountMax }) };
  const draw = drawNoise(request, rowCount, served.actionSize);
  const due = dueOf(call, request.budgetUs, deadlineMarginMs);
  return { policy, observation, ...context, draw, due, fallback: fallbackOf(request, due !== undefined) };
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
  return policy;
}

const handleContext = (state: HandleContext['state']): Pick<ActPlan, 'contexts' | 'weights'> =>
  state.kind === 'weights' ? { weights: weightsOf(state) } : { contexts: { values: state.context, rowCount: 1 } };

/** The contexts of a request: one row, or as many as there are observations; undefined where none is read. */
function contextRows(
  served: ServedVersion,
  { contextSource }: ActRequest,
  { rowCount, rowCountMax }: { readonly rowCount: number; readonly rowCountMax: number },
): Rows | undefined {
  const { model, contextSize, manifest } = served;
  if (contextSize === 0) {
    if (contextSource.case === undefined) return served.policy?.weights === undefined ? undefined : noContext;
    throw invalidArgument({ where: 'Act context', expected: `none: model "${model}" takes no context`, actual: 'one' });
  }
  const rows = decodeRows(contextSource.case === 'context' ? contextSource.value : undefined, {
    where: 'Act context',
    columnCount: contextSize,
    rowCountMax,
    model,
    alternative: manifest.encoder === null ? undefined : 'a context_handle of Adapt',
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
  const used = seedOf('Act', seed);
  const noise = new Float32Array(rowCount * actionSize);
  for (let row = 0; row < rowCount; row++) normalRow(used, row, actionSize, noise, row * actionSize);
  return { seed: used, noise };
}
