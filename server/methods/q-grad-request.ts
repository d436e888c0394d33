/** Reads and checks a QGrad request: critic, rows, contexts, reduction and ascent. */

import { invalidArgument } from '../../src/contract/errors.ts';
import { byNumber, type ReductionName, reductions } from '../../src/contract/words.ts';
import { type QGradRequest, Reduction } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Call } from '../call/rpc.ts';
import { decodeRows, type Rows } from '../call/tensors.ts';
import type { ServedCritic } from '../models/served-network.ts';
import type { ServedVersion } from '../models/served-version.ts';
import { checkAscent } from './ascent.ts';
import type { ComputeDeps } from './context-handles.ts';
import { checkClient, eachRow, oneOrEach, partOf, readContexts } from './request-checks.ts';

export type QGradPlan = {
  readonly critic: ServedCritic;
  /** One row, or as many as there are actions. */
  readonly observation: Rows;
  readonly action: Rows;
  /** Of each row; undefined if the critic takes none. */
  readonly context: Float32Array | undefined; // [B, C]
  readonly reduction: ReductionName;
  readonly ascent: ReturnType<typeof checkAscent>;
};

const names: Readonly<Record<number, ReductionName>> = { ...byNumber(reductions), [Reduction.UNSPECIFIED]: 'min' };

/** @throws HyperpolicyError: everything that the proto lists for QGrad, except what depends on time */
export function readQGradRequest(
  served: ServedVersion,
  request: QGradRequest,
  call: Call,
  { config, handles }: ComputeDeps,
): QGradPlan {
  const { model, observationSize, actionSize } = served;
  const { rowCountMax, ascentStepCountMax } = config;
  checkClient('QGrad', served, request);
  const critic = partOf('QGrad', served, { part: served.critic, name: 'a critic' });
  const reduction = reductionOf(request.reduction);
  const ascent = checkAscent(request.ascent, ascentStepCountMax);
  const rowsOf = (name: 'action' | 'observation', columnCount: number) =>
    decodeRows(request[name], { where: `QGrad ${name}`, columnCount, rowCountMax, model });
  const action = rowsOf('action', actionSize);
  const { rowCount } = action;
  const observation = oneOrEach(rowsOf('observation', observationSize), 'QGrad observation', 'action', rowCount);
  const state = handles.find('QGrad', served, request.contextSource, call);
  const taker = { name: `the critic of model "${model}"`, model, contextSize: critic.contextSize, rowCountMax };
  const contexts =
    state !== undefined && critic.contextSize > 0
      ? { values: state.context, rowCount: 1 }
      : readContexts('QGrad', request.contextSource, taker);
  const context = contexts && eachRow(oneOrEach(contexts, 'QGrad context', 'action', rowCount), rowCount);
  return { critic, observation, action, context, reduction, ascent };
}

function reductionOf(reduction: number): ReductionName {
  const name = names[reduction];
  if (name !== undefined) return name;
  throw invalidArgument({ where: 'QGrad reduction', expected: 'q1, min or mean (1, 2 or 3)', actual: `${reduction}` });
}
