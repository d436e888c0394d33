/** Reads and checks an Adapt request: the experience, and the state to start from. */

import { failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import type { AdaptRequest } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Call } from '../call/rpc.ts';
import { decodeRows, decodeValues, noContext, type Rows, type RowsExpected } from '../call/tensors.ts';
import type { PosteriorState, WeightsState } from '../handles/handle-context.ts';
import type { ServedStep } from '../models/served-adaptation.ts';
import type { ServedEncoder, Transitions } from '../models/served-encoder.ts';
import type { ServedVersion } from '../models/served-version.ts';
import type { ComputeDeps } from './context-handles.ts';
import { checkClient, partOf, readContexts, refuseGiven, seedOf } from './request-checks.ts';

export type PosteriorPlan = {
  readonly kind: 'posterior';
  readonly encoder: ServedEncoder;
  /** Undefined if the request has none. */
  readonly experience: Transitions | undefined;
  readonly from: PosteriorState | undefined;
  /** Seed for drawing z; undefined if z is the mean. */
  readonly seed: number | undefined;
};

export type StepPlan = {
  readonly kind: 'weights';
  readonly step: ServedStep;
  readonly experience: Transitions;
  /** Lengths of the episodes. */
  readonly lengths: readonly number[];
  /** One context, or the state of a handle. */
  readonly from: Rows | WeightsState;
};

/** @throws HyperpolicyError: everything that the proto lists for Adapt, except what depends on time */
export function readAdaptRequest(
  served: ServedVersion,
  request: AdaptRequest,
  call: Call,
  { config, handles }: ComputeDeps,
): PosteriorPlan | StepPlan {
  checkClient('Adapt', served, request);
  const { model, adaptation: part } = served;
  const { rowCountMax } = config;
  const adaptation = partOf('Adapt', served, { part, name: 'an encoder or an inner step', none: 'neither' });
  const { contextSource, episodeLengths, nextObservation, useMean } = request;
  const from = handles.find('Adapt', served, contextSource, call);
  if (adaptation.kind === 'posterior') {
    refuseGiven('Adapt context', contextSource.case === 'context', `model "${model}" infers its context`);
    const order = adaptation.isOrdered ? 'transitions are in order' : 'the order of transitions does not matter';
    refuseGiven('Adapt episode_lengths', episodeLengths.length > 0, order);
    refuseGiven('Adapt use_mean', useMean && request.seed !== undefined, 'with a seed z is drawn');
    const hasExperience = [request.observation, request.action, request.reward, nextObservation].some(
      (tensor) => tensor !== undefined,
    );
    return {
      kind: 'posterior',
      encoder: adaptation,
      experience: hasExperience
        ? readExperience(served, request, {
            rowCountMax,
            rowsRemedy: `Send the rest in further calls, each with the context_handle of the last answer, or ${largerLimit}`,
            hasNext: adaptation.readsNextObservation,
          })
        : undefined,
      from: from as PosteriorState | undefined,
      seed: useMean ? undefined : seedOf('Adapt', request.seed),
    };
  }
  refuseGiven('Adapt seed', request.seed !== undefined, 'nothing is drawn');
  refuseGiven('Adapt use_mean', useMean, 'there is no posterior');
  if (from !== undefined && adaptation.from === 'parameters') {
    throw failedPrecondition({
      where: 'Adapt context_handle',
      expected: `none: model "${model}" adapts from its own parameters`,
      actual: 'one',
      remedy: 'Send all episodes at once, with the context',
    });
  }
  const experience = readExperience(served, request, {
    rowCountMax,
    // A further call would be a further step.
    rowsRemedy: `All steps of an adaptation go in one request: send fewer, or ${largerLimit}`,
    hasNext: false,
  });
  return {
    kind: 'weights',
    step: adaptation,
    experience,
    lengths: lengthsOf(request, experience.rowCount),
    from: (from as WeightsState | undefined) ?? readContext(served, request),
  };
}

const largerLimit = 'start the server with a larger --max-rows';

function readExperience(
  { observationSize, actionSize, model }: ServedVersion,
  request: AdaptRequest,
  { hasNext, ...limit }: Pick<RowsExpected, 'rowCountMax' | 'rowsRemedy'> & { readonly hasNext: boolean },
): Transitions {
  const rowsOf = (tensor: AdaptRequest['action'], name: string, columnCount: number) =>
    decodeRows(tensor, { where: `Adapt ${name}`, columnCount, model, ...limit });
  const { rowCount, values: observation } = rowsOf(request.observation, 'observation', observationSize);
  const likeObservations = (tensor: AdaptRequest['action'], name: string, columnCount: number) => {
    const rows = rowsOf(tensor, name, columnCount);
    if (rows.rowCount === rowCount) return rows.values;
    const expected = `one row per observation (${rowCount})`;
    throw invalidArgument({ where: `Adapt ${name}`, expected, actual: `${rows.rowCount} rows` });
  };
  const action = likeObservations(request.action, 'action', actionSize);
  const { nextObservation: next } = request;
  if (!hasNext) refuseGiven('Adapt next_observation', next !== undefined, `model "${model}" does not read it`);
  const rewardRule = { where: 'Adapt reward', count: rowCount, per: 'observation', model };
  return {
    rowCount,
    observation,
    action,
    reward: decodeValues(request.reward, rewardRule),
    ...(hasNext && { nextObservation: likeObservations(next, 'next_observation', observationSize) }),
  };
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

function readContext({ contextSize, model }: ServedVersion, { contextSource }: AdaptRequest) {
  // Not the limit of requests: how many rows there may be is told below.
  const taker = { name: `model "${model}"`, model, contextSize, rowCountMax: Number.POSITIVE_INFINITY };
  const rows = readContexts('Adapt', contextSource, taker);
  if (rows === undefined || rows.rowCount === 1) return rows ?? noContext;
  throw invalidArgument({ where: 'Adapt context', expected: 'one row', actual: `${rows.rowCount} rows` });
}
