/** Checks of what a server sends, before the caller gets it: inconsistent responses are refused. */

import { failedPrecondition, type HyperpolicyError } from '../../src/contract/errors.ts';
import type { GetModelResponse, Timing } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Tensor as TensorMessage } from '../../src/gen/hyperpolicy/v1/tensor_pb.ts';
import { nonFiniteAt, type Tensor } from './tensor.ts';

/** Whose answer it is. */
export type Sender = { readonly method: string; readonly address: string };

/** The error of an answer that cannot be used: of another service, another version of this one, or damaged. @param what as a noun phrase */
export const unusable = ({ method, address }: Sender, what: string, cause?: unknown): HyperpolicyError =>
  failedPrecondition({
    where: method,
    expected: `a hyperpolicy server at ${address}`,
    actual: what,
    remedy: 'Check the address, and that client and server are of one release',
    cause,
  });

/** @param rows how many there have to be; any number where absent. @param rank 1: a value each; 2: columns */
export type Expected = { readonly rank: 1 | 2; readonly rows?: number | undefined };

/**
 * A copy of a message's values, which are unaligned there.
 * @throws HyperpolicyError failed_precondition: none; bytes or rows that are not as the shape or the request says; not finite
 */
export function receivedTensor(
  from: Sender,
  name: string,
  message: TensorMessage | undefined,
  { rank, rows }: Expected,
): Tensor {
  if (message === undefined) throw unusable(from, `a response without ${name}`);
  const { shape, data } = message;
  const size = shape.reduce((product, each) => product * each, 4);
  const isAsked = shape.length === rank && shape[0]! > 0 && (rows === undefined || shape[0] === rows);
  if (!isAsked || size !== data.length || size === 0) {
    const asked = rows === undefined ? '' : ` for ${rows} rows`;
    throw unusable(from, `a response whose ${name} has shape [${shape.join(', ')}] in ${data.length} bytes${asked}`);
  }
  const bytes = new Uint8Array(data.length);
  bytes.set(data);
  const values = new Float32Array(bytes.buffer);
  const wrong = nonFiniteAt(values);
  if (wrong !== -1) throw unusable(from, `a response whose ${name} has ${values[wrong]} at ${wrong}`);
  return { shape, values };
}

/** @throws HyperpolicyError failed_precondition where an answer has no version or no timing, as an empty message */
export function checkHead(from: Sender, { version, timing }: { version: number; timing?: Timing | undefined }): Timing {
  if (version === 0) throw unusable(from, 'a response without version');
  if (timing === undefined) throw unusable(from, 'a response without timing');
  return timing;
}

/** @throws HyperpolicyError failed_precondition where a description is not whole */
export function checkDescription(from: Sender, described: GetModelResponse): GetModelResponse {
  const { version, observation, action, context, safeAction, taskRange } = described;
  if (version === 0) throw unusable(from, 'a response without version');
  for (const [name, spec] of Object.entries({ observation, action, ...(context && { context: context.spec }) })) {
    const size = spec?.names.length ?? 0;
    const whole = spec !== undefined && [spec.low, spec.high, spec.units].every((list) => list.length === size);
    if (size === 0 || !whole) throw unusable(from, `a response whose ${name} spec is not whole`);
  }
  if (taskRange !== undefined && taskRange.low.length !== taskRange.high.length) {
    throw unusable(from, 'a response whose task range is not whole');
  }
  if (safeAction.length !== action!.names.length || !safeAction.every(Number.isFinite)) {
    throw unusable(from, `a response whose safe action is not ${action!.names.length} finite values`);
  }
  return described;
}
