/** What a QGrad request asks for, checked: which critic, rows, contexts, reduction and ascent. */

import { failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import { type QGradRequest, Reduction } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Call } from '../call/rpc.ts';
import { decodeRows, type Rows, repeatRow } from '../call/tensors.ts';
import type { ServerConfig } from '../config.ts';
import type { ReductionName, ServedCritic } from '../models/served-critic.ts';
import type { ServedVersion } from '../models/served-version.ts';
import { checkAscent } from './ascent.ts';
import type { ContextHandles } from './context-handles.ts';
import { checkClientId, checkFingerprint } from './request-checks.ts';

export type QGradPlan = {
  readonly critic: ServedCritic;
  /** One row, or as many as there are actions. */
  readonly observation: Rows;
  readonly action: Rows;
  /** Of each row; undefined where the critic takes none. */
  readonly context: Float32Array | undefined; // [B, C]
  readonly reduction: ReductionName;
  readonly ascent: ReturnType<typeof checkAscent>;
};

const reductions: Readonly<Record<number, ReductionName>> = {
  [Reduction.UNSPECIFIED]: 'min',
  [Reduction.Q1]: 'q1',
  [Reduction.MIN]: 'min',
  [Reduction.MEAN]: 'mean',
};

/** @throws HyperpolicyError: everything that the proto lists for QGrad, except what depends on time */
export function readQGradRequest(
  served: ServedVersion,
  request: QGradRequest,
  call: Call,
  { config, handles }: { readonly config: ServerConfig; readonly handles: ContextHandles },
): QGradPlan {
  const { model, observationSize, actionSize } = served;
  const { rowCountMax, ascentStepCountMax } = config;
  checkFingerprint('QGrad', served, request.fingerprint);
  checkClientId('QGrad', request.clientId);
  const critic = criticOf(served);
  const reduction = reductionOf(request.reduction);
  const ascent = checkAscent(request.ascent, ascentStepCountMax);
  const rowsOf = (name: 'action' | 'observation', columnCount: number) =>
    decodeRows(request[name], { where: `QGrad ${name}`, columnCount, rowCountMax, model });
  const action = rowsOf('action', actionSize);
  const observation = rowsOf('observation', observationSize);
  const { rowCount } = action;
  if (observation.rowCount !== 1 && observation.rowCount !== rowCount) {
    throw invalidArgument({
      where: 'QGrad observation',
      expected: `one row, or one per action (${rowCount})`,
      actual: `${observation.rowCount} rows`,
    });
  }
  const { contextSource } = request;
  const handleContext =
    contextSource.case === 'contextHandle'
      ? handles.find('QGrad', served, contextSource.value, call).context
      : undefined;
  const rule = { model, contextSize: critic.contextSize, rowCount, rowCountMax };
  return { critic, observation, action, context: contextRows(request, handleContext, rule), reduction, ascent };
}

function criticOf({ critic, model }: ServedVersion): ServedCritic {
  if (critic !== null) return critic;
  throw failedPrecondition({
    where: 'QGrad model',
    expected: 'a model with a critic',
    actual: `"${model}", which has none`,
  });
}

type ContextRule = {
  readonly model: string;
  /** Of the critic; 0 where it takes none. */
  readonly contextSize: number;
  readonly rowCount: number;
  readonly rowCountMax: number;
};

/** The context of each row; undefined where the critic takes none. @param handleContext that of the request's handle */
function contextRows(
  { contextSource }: QGradRequest,
  handleContext: Float32Array | undefined,
  { model, contextSize, rowCount, rowCountMax }: ContextRule,
): Float32Array | undefined {
  if (contextSize === 0) {
    if (contextSource.case === undefined) return undefined;
    const expected = `none: the critic of model "${model}" takes no context`;
    throw invalidArgument({ where: 'QGrad context', expected, actual: 'one' });
  }
  if (handleContext !== undefined) return repeatRow(handleContext, rowCount);
  const rows = decodeRows(contextSource.case === 'context' ? contextSource.value : undefined, {
    where: 'QGrad context',
    columnCount: contextSize,
    rowCountMax,
    model,
  });
  if (rows.rowCount === rowCount) return rows.values;
  if (rows.rowCount === 1) return repeatRow(rows.values, rowCount);
  throw invalidArgument({
    where: 'QGrad context',
    expected: `one row, or one per action (${rowCount})`,
    actual: `${rows.rowCount} rows`,
  });
}

function reductionOf(reduction: number): ReductionName {
  const name = reductions[reduction];
  if (name !== undefined) return name;
  throw invalidArgument({ where: 'QGrad reduction', expected: 'q1, min or mean (1, 2 or 3)', actual: `${reduction}` });
}
