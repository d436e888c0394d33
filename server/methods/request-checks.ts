/** Checks that several methods make before they compute. */

import { randomInt } from 'node:crypto';
import { deadlineExceeded, failedPrecondition, invalidArgument, quoted } from '../../src/contract/errors.ts';
import type { Call } from '../call/rpc.ts';
import type { ServedVersion } from '../models/served-version.ts';

const clientIdBytesMax = 256;

/** @throws HyperpolicyError failed_precondition where the client's specs are not the model's; an empty one is not checked */
export function checkFingerprint(method: string, { model, manifest }: ServedVersion, fingerprint: string): void {
  if (fingerprint === '' || fingerprint === manifest.fingerprint) return;
  throw failedPrecondition({
    where: `${method} fingerprint`,
    expected: `${manifest.fingerprint} of model "${model}"`,
    actual: quoted(fingerprint),
    remedy: 'The specs differ: read them again with GetModel',
  });
}

/** @throws HyperpolicyError invalid_argument */
export function checkClientId(method: string, clientId: string): void {
  // Characters first: a short text needs no count of its bytes.
  if (clientId.length * 3 <= clientIdBytesMax || Buffer.byteLength(clientId) <= clientIdBytesMax) return;
  throw invalidArgument({
    where: `${method} client_id`,
    expected: `at most ${clientIdBytesMax} bytes`,
    actual: `${Buffer.byteLength(clientId)}`,
  });
}

/** The seed of a request, or one that is drawn. @throws HyperpolicyError invalid_argument where it is not an exact number */
export function seedOf(method: string, seed: bigint | undefined): number {
  if (seed === undefined) return randomInt(2 ** 48 - 1);
  if (seed <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(seed);
  throw invalidArgument({ where: `${method} seed`, expected: 'an integer in [0, 2^53)', actual: `${seed}` });
}

/**
 * @param computed what became of the work, as a sentence
 * @throws HyperpolicyError deadline_exceeded where the client no longer waits
 */
export function checkDeadline(method: string, { deadlineMs }: Call, computed = 'Nothing was computed'): void {
  if (deadlineMs === Number.POSITIVE_INFINITY) return;
  const lateMs = Date.now() - deadlineMs;
  if (lateMs <= 0) return;
  throw deadlineExceeded({
    where: method,
    expected: 'a deadline that has not passed',
    actual: `one that passed ${lateMs} ms ago`,
    remedy: computed,
  });
}
