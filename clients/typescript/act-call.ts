/** One Act: the request is sent, its answer checked, and a stand-in given where the answer is missing, late or too old. */

import { PolicyService } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { type ActOptions, type ActResult, actFields, actResult } from './act.ts';
import { type Called, type CallOptions, type CallUnary, checkCallOptions } from './call-options.ts';
import { checkTime } from './checks.ts';
import { lateError, oldError } from './errors.ts';
import { columnCountOf, routingKeyOf, rowCountOf } from './request.ts';
import { type InPlaceOf, reasonOf, type StandIns } from './stand-ins.ts';
import type { Tensor } from './tensor.ts';

export type ActCallOptions = CallOptions & {
  /**
   * Oldest action that is returned, milliseconds: of a fresh one from the call on, of a held one from the request that it answers. An
   * older one is replaced by the fallback (of `hold` by `safe`), or refused. No limit unless given.
   */
  readonly ageMsMax?: number;
};

export type ActCallDeps = {
  /** Of the server, for errors. */
  readonly address: string;
  /** For calls that name none of their own, milliseconds. */
  readonly timeoutMs: number;
  readonly callUnary: CallUnary;
  readonly standIns: StandIns;
};

const { act } = PolicyService.method;

export function createActCall(deps: ActCallDeps): (given: ActOptions, call?: ActCallOptions) => Promise<ActResult> {
  const { address, standIns } = deps;

  /** @throws HyperpolicyError what the call threw, or that its answer is late or too old */
  async function answer(fields: ReturnType<typeof actFields>, sent: Sent): Promise<ActResult> {
    const { of, called } = sent;
    const startMs = performance.now();
    const response = await deps.callUnary(act, fields, called);
    const result = actResult({ method: act.name, address }, response, of.rows);
    const tookMs = performance.now() - startMs;
    standIns.keep(of, result, tookMs);
    // A process that stood still has the answer before its timers.
    if (tookMs > called.timeoutMs) throw lateError(act.name, address, called.timeoutMs);
    const ageMs = Math.max(tookMs, result.fallback?.ageMs ?? 0);
    if (ageMs <= of.ageMsMax) return result;
    const standIn = standIns.standIn(of, 'age');
    if (standIn === undefined) throw oldError(act.name, of.ageMsMax, ageMs);
    return standIn;
  }

  return async (given, callOptions = {}) => {
    const fields = actFields(act.name, given);
    checkCallOptions(act.name, callOptions, ['ageMsMax']);
    const { ageMsMax, timeoutMs = deps.timeoutMs, signal, metadata } = callOptions;
    if (ageMsMax !== undefined) checkTime(`${act.name} ageMsMax`, ageMsMax);
    const of = inPlaceOf(given, fields.observation, ageMsMax);
    if (of.fallback !== undefined && of.fallback !== 'error') standIns.learn(of.selection);
    try {
      return await answer(fields, { of, called: { timeoutMs, signal, metadata, routingKey: routingKeyOf(given) } });
    } catch (error) {
      const reason = reasonOf(error);
      const standIn = reason && standIns.standIn(of, reason);
      if (standIn === undefined) throw error;
      return standIn;
    }
  };
}

type Sent = { readonly of: InPlaceOf; readonly called: Called };

function inPlaceOf(
  given: ActOptions,
  observation: Pick<Tensor, 'shape'>,
  ageMsMax = Number.POSITIVE_INFINITY,
): InPlaceOf {
  const { model, version, label, fingerprint, contextHandle, clientId = '', sequence = 0n, fallback } = given;
  return {
    selection: { model, ...(version !== undefined && { version }), ...(label !== undefined && { label }) },
    fingerprint,
    contextHandle,
    clientId,
    rows: rowCountOf(observation),
    columns: columnCountOf(observation),
    sequence,
    fallback,
    ageMsMax,
  };
}
