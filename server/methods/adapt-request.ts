/** What an Adapt request asks for, checked: which kind of adaptation, from which experience, beginning where. */

import { failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import type { AdaptRequest } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Call } from '../call/rpc.ts';
import { decodeRows, decodeValues, noContext, type Rows } from '../call/tensors.ts';
import type { PosteriorState, WeightsState } from '../handles/handle-context.ts';
import type { ServedEncoder, ServedStep, Steps } from '../models/served-adaptation.ts';
import type { ServedVersion } from '../models/served-version.ts';
import type { ContextHandles } from './context-handles.ts';
import { checkClientId, checkFingerprint, seedOf } from './request-checks.ts';

export type Experience = Steps & { readonly reward: Float32Array }; // [N]

export type AdaptPlan =
  | {
      readonly kind: 'posterior';
      readonly encoder: ServedEncoder;
      /** Undefined where the request has none. */
      readonly transitions: Experience | undefined;
      readonly from: PosteriorState | undefined;
      readonly seed: number;
    }
  | {
      readonly kind: 'weights';
      readonly step: ServedStep;
      readonly steps: Experience;
      /** Of each episode. */
      readonly lengths: readonly number[];
      /** One context, or a state to go on from. */
      readonly from: Rows | WeightsState;
    };

export type AdaptPlanDeps = { readonly handles: ContextHandles; readonly rowCountMax: number };

/** @throws HyperpolicyError: everything that the proto lists for Adapt, except what depends on time */
export function readAdaptRequest(
  served: ServedVersion,
  request: AdaptRequest,
  call: Call,
  { handles, rowCountMax }: AdaptPlanDeps,
): AdaptPlan {
  checkFingerprint('Adapt', served, request.fingerprint);
  checkClientId('Adapt', request.clientId);
  const { adaptation, model } = served;
  if (adaptation === null) {
    throw failedPrecondition({
      where: 'Adapt model',
      expected: 'a model with an encoder or an inner step',
      actual: `"${model}", which has neither`,
    });
  }
  const { contextSource } = request;
  const from =
    contextSource.case === 'contextHandle' ? handles.find('Adapt', served, contextSource.value, call) : undefined;
  if (adaptation.kind === 'posterior') {
    refuseGiven('context', contextSource.case === 'context', `model "${model}" infers its context`);
    refuseGiven('episode_lengths', request.episodeLengths.length > 0, 'the order of transitions does not matter');
    return {
      kind: 'posterior',
      encoder: adaptation,
      transitions: hasExperience(request) ? readExperience(served, request, rowCountMax) : undefined,
      from: from as PosteriorState | undefined,
      seed: seedOf('Adapt', request.seed),
    };
  }
  refuseGiven('seed', request.seed !== undefined, 'nothing is drawn');
  if (from !== undefined && adaptation.from === 'parameters') {
    throw failedPrecondition({
      where: 'Adapt context_handle',
      expected: `none: model "${model}" adapts from its own parameters`,
      actual: 'one',
      remedy: 'Send all episodes at once, with the context',
    });
  }
  const steps = readExperience(served, request, rowCountMax);
  return {
    kind: 'weights',
    step: adaptation,
    steps,
    lengths: lengthsOf(request, steps.rowCount),
    from: (from as WeightsState | undefined) ?? readContext(served, request, rowCountMax),
  };
}

const hasExperience = ({ observation, action, reward }: AdaptRequest): boolean =>
  observation !== undefined || action !== undefined || reward !== undefined;

function refuseGiven(field: string, isGiven: boolean, reason: string): void {
  if (!isGiven) return;
  throw invalidArgument({ where: `Adapt ${field}`, expected: `none: ${reason}`, actual: 'one' });
}

function readExperience(
  { observationSize, actionSize, model }: ServedVersion,
  { observation, action, reward }: AdaptRequest,
  rowCountMax: number,
): Experience {
  const limits = { rowCountMax, model };
  const observations = decodeRows(observation, {
    where: 'Adapt observation',
    columnCount: observationSize,
    ...limits,
  });
  const { rowCount } = observations;
  const actions = decodeRows(action, { where: 'Adapt action', columnCount: actionSize, ...limits });
  if (actions.rowCount !== rowCount) {
    throw invalidArgument({
      where: 'Adapt action',
      expected: `one row per observation (${rowCount})`,
      actual: `${actions.rowCount} rows`,
    });
  }
  const rewards = decodeValues(reward, { where: 'Adapt reward', count: rowCount, per: 'observation', model });
  return { rowCount, observation: observations.values, action: actions.values, reward: rewards };
}

function lengthsOf({ episodeLengths }: AdaptRequest, rowCount: number): readonly number[] {
  if (episodeLengths.length === 0) return [rowCount];
  const sum = episodeLengths.reduce((total, length) => total + length, 0);
  if (sum === rowCount && !episodeLengths.includes(0)) return episodeLengths;
  throw invalidArgument({
    where: 'Adapt episode_lengths',
    expected: `lengths of at least 1 that add up to the ${rowCount} observations`,
    actual: sum === rowCount ? 'one that is 0' : `a sum of ${sum}`,
  });
}

function readContext(
  { contextSize, model }: ServedVersion,
  { contextSource }: AdaptRequest,
  rowCountMax: number,
): Rows {
  const context = contextSource.case === 'context' ? contextSource.value : undefined;
  if (contextSize === 0) {
    refuseGiven('context', context !== undefined, `model "${model}" takes no context`);
    return noContext;
  }
  const rows = decodeRows(context, { where: 'Adapt context', columnCount: contextSize, rowCountMax, model });
  if (rows.rowCount === 1) return rows;
  throw invalidArgument({ where: 'Adapt context', expected: 'one row', actual: `${rows.rowCount} rows` });
}
