/**
 * Prepare: generates weights before the requests that will need them, and pins or unpins them, in every process of the server.
 *
 * Errors: as Act; FAILED_PRECONDITION where the model has nothing that is generated; RESOURCE_EXHAUSTED pinned bytes.
 */

import { failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import { Pinning, type PolicyService, type PrepareRequest } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Call, UnaryHandlers } from '../call/rpc.ts';
import { decodeRows, type Rows } from '../call/tensors.ts';
import type { ServerConfig } from '../config.ts';
import type { ModelStore } from '../models/model-store.ts';
import { type ServedVersion, whenHeld } from '../models/served-version.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { answerByDue, checkDeadline, type Due, dueOf, lateError, requireClient } from './due-time.ts';
import { checkClient } from './request-checks.ts';

/**
 * Does the same in every other process of the server.
 * @param request names its version
 * @returns the largest number of weights that one of them generated
 */
export type PrepareElsewhere = (request: PrepareRequest, deadlineMs: number) => Promise<number>;

export type PrepareDeps = {
  readonly models: ModelStore;
  readonly config: ServerConfig;
  /** Undefined if this is the only process. */
  readonly elsewhere?: PrepareElsewhere | undefined;
};

type Handler = UnaryHandlers<typeof PolicyService>['prepare'];

export function createPrepareHandler({ models, config, elsewhere }: PrepareDeps): Handler {
  return (request, call) => {
    const served = models.resolve('Prepare', request, call);
    checkClient('Prepare', served, request);
    const { source, rows } = readTarget(served, request, config.rowCountMax);
    checkDeadline('Prepare', call);
    const { version } = served;
    const count = source.countOf(rows);
    call.record?.served(served, count);
    const others = elsewhere?.({ ...request, selection: { case: 'version', value: version } }, call.deadlineMs);
    // If this process fails first, its error is sent without waiting for the others.
    others?.catch(() => {});
    const due = dueOf(call, 0, config.deadlineMarginMs);
    const isPin = request.pinning === Pinning.PIN;
    let done: Promise<Awaited<ReturnType<Handler>>>;
    if (request.pinning === Pinning.UNPIN) {
      source.unpin(rows);
      if (others === undefined) return { version, count, generatedCount: 0 };
      done = others.then(() => ({ version, count, generatedCount: 0 }));
    } else {
      let generatedCount = 0;
      const make = async () => {
        const batch = await source.weightsFor(rows, call);
        generatedCount = Math.max(batch.missingCount ?? 0, (await others) ?? 0);
        if (isPin) requireWaiting(call, due);
        return batch;
      };
      done = whenHeld(served, async () => {
        await (isPin ? source.pinWhenMade(rows, make) : make());
        return { version, count, generatedCount };
      });
    }
    const late = () => {
      throw lateError('Prepare', due!, `The weights are being made${isPin ? ', and are not pinned' : ''}`);
    };
    return answerByDue(done, due, late, (error) => call.failLate(error));
  };
}

/** A call that fails must not pin: its client would not know of the pin. @throws HyperpolicyError if the call has failed, or will */
function requireWaiting(call: Call, due: Due | undefined): void {
  const computed = 'Nothing is pinned';
  if (due !== undefined && performance.now() >= due.atMs) throw lateError('Prepare', due, computed);
  requireClient('Prepare', call, computed);
}

function readTarget(
  served: ServedVersion,
  { target, pinning }: PrepareRequest,
  rowCountMax: number,
): { readonly source: WeightSource; readonly rows: Rows } {
  const { model, policy, critic, contextSize, observationSize } = served;
  if (pinning !== Pinning.UNSPECIFIED && pinning !== Pinning.PIN && pinning !== Pinning.UNPIN) {
    const expected = 'none, pin or unpin (0, 1 or 2)';
    throw invalidArgument({ where: 'Prepare pinning', expected, actual: `${pinning}` });
  }
  if (target.case === undefined) {
    throw invalidArgument({ where: 'Prepare target', expected: 'contexts or observations', actual: 'neither' });
  }
  const isContext = target.case === 'context';
  const ofPolicy = contextSize > 0 ? policy?.weights : undefined;
  const source = isContext ? ofPolicy : critic?.weights;
  const where = `Prepare ${target.case}`;
  if (source === undefined) {
    const expected = `a model with a ${isContext ? 'policy' : 'critic'} whose weights are generated`;
    throw failedPrecondition({ where, expected, actual: `"${model}"` });
  }
  const columnCount = isContext ? contextSize : observationSize;
  return { source, rows: decodeRows(target.value, { where, columnCount, rowCountMax, model }) };
}
