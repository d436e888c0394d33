/**
 * Prepare: makes weights ahead of the requests that will need them, and pins or unpins them.
 *
 * Errors: as Act; FAILED_PRECONDITION where the model has nothing that is generated; RESOURCE_EXHAUSTED pinned bytes.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  Pinning,
  type PrepareRequest,
  type PrepareResponseSchema,
} from '../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { failedPrecondition, invalidArgument } from '../src/spec/errors.ts';
import type { ServerConfig } from './config.ts';
import { answerByDue, dueOf, lateError } from './due-time.ts';
import type { ModelStore } from './model-store.ts';
import { checkClientId, checkDeadline, checkFingerprint } from './request-checks.ts';
import type { UnaryHandler } from './rpc.ts';
import { type ServedVersion, whenHeld } from './served-version.ts';
import { type DistinctRows, decodeRows, distinctRows } from './tensors.ts';
import type { WeightSource } from './weight-source.ts';

export type PrepareResponseInit = MessageInitShape<typeof PrepareResponseSchema>;

export type PrepareDeps = { readonly models: ModelStore; readonly config: ServerConfig };

export function createPrepareHandler({
  models,
  config,
}: PrepareDeps): UnaryHandler<PrepareRequest, PrepareResponseInit> {
  return (request, call) => {
    const served = models.resolve('Prepare', request, call);
    checkFingerprint('Prepare', served, request.fingerprint);
    checkClientId('Prepare', request.clientId);
    const { source, contexts } = readTarget(served, request, config.rowCountMax);
    checkDeadline('Prepare', call);
    const { version } = served;
    const count = contexts.keys.length;
    call.observation?.served(served, count);
    if (request.pinning === Pinning.UNPIN) {
      source.unpin(contexts);
      return { version, count, generatedCount: 0 };
    }
    const generatedCount = source.missingCount(contexts);
    const due = dueOf(call, 0, config.deadlineMarginMs);
    const done = whenHeld(served, async () => {
      const batch = await source.weightsFor(contexts, call.deadlineMs);
      if (request.pinning === Pinning.PIN) source.pin(contexts, batch);
      return { version, count, generatedCount };
    });
    return answerByDue(done, due, () => {
      throw lateError('Prepare', due!, 'The weights are being made');
    });
  };
}

function readTarget(
  served: ServedVersion,
  { target, pinning }: PrepareRequest,
  rowCountMax: number,
): { readonly source: WeightSource; readonly contexts: DistinctRows } {
  const { model, policy, critic, contextSize, observationSize } = served;
  if (pinning !== Pinning.UNSPECIFIED && pinning !== Pinning.PIN && pinning !== Pinning.UNPIN) {
    throw invalidArgument({
      where: 'Prepare pinning',
      expected: 'none, pin or unpin (0, 1 or 2)',
      actual: `${pinning}`,
    });
  }
  if (target.case === undefined) {
    throw invalidArgument({ where: 'Prepare target', expected: 'contexts or observations', actual: 'neither' });
  }
  const isContext = target.case === 'context';
  const source = isContext ? policy?.weights : critic?.weights;
  if (source === undefined) {
    throw failedPrecondition({
      where: `Prepare ${target.case}`,
      expected: `a model with a ${isContext ? 'policy' : 'critic'} whose weights are generated`,
      actual: `"${model}"`,
    });
  }
  const columnCount = isContext ? contextSize : observationSize;
  const rows = decodeRows(target.value, { where: `Prepare ${target.case}`, columnCount, rowCountMax, model });
  return { source, contexts: distinctRows(rows, columnCount) };
}
