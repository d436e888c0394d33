/** The options of every call, over any transport: time, abort, header fields. */

import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { checkMetadata, checkOptions, checkSignal, checkTime } from './checks.ts';

/** Header fields by name. */
export type Metadata = Readonly<Record<string, string>>;

export type CallOptions = {
  /** Time to wait for the answer, milliseconds; more than 24.8 days count as that. The client's unless given. */
  readonly timeoutMs?: number;
  /** Gives the call up: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Of this call, beside the client's. */
  readonly metadata?: Metadata;
};

/** A call as a transport gets it: checked, with the client's defaults. */
export type Called = {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly metadata?: Metadata | undefined;
  readonly routingKey?: string | undefined;
};

/** Calls a method and waits for its response. What it rejects with is as `createPolicyClient` says. */
export type CallUnary = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  called: Called,
) => Promise<MessageShape<O>>;

/** Calls with one key may be kept on one server by a balancer. */
export const routingKeyName = 'hyperpolicy-routing-key';

const names = ['timeoutMs', 'signal', 'metadata'];

/**
 * @param more options that the method has beside these
 * @throws HyperpolicyError invalid_argument naming the option
 */
export function checkCallOptions(where: string, given: CallOptions, more: readonly string[] = []): void {
  checkOptions(`${where} options`, given, more.length === 0 ? names : [...names, ...more]);
  const { timeoutMs, signal, metadata } = given;
  if (timeoutMs !== undefined) checkTime(`${where} timeoutMs`, timeoutMs);
  if (signal !== undefined) checkSignal(`${where} signal`, signal);
  if (metadata !== undefined) checkMetadata(`${where} metadata`, metadata);
}
