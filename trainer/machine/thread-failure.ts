/** A failure of a worker thread as plain data, of which the thread that waits for it makes an error. */

import { HyperpolicyError } from '../../src/contract/errors.ts';

export type ThreadFailure = {
  readonly message: string;
  readonly fields: Pick<HyperpolicyError, 'kind' | 'where' | 'expected' | 'actual' | 'remedy'> | null;
};

export function describeFailure(error: unknown): ThreadFailure {
  if (!(error instanceof HyperpolicyError)) return { message: String((error as Error)?.stack ?? error), fields: null };
  const { message, kind, where, expected, actual, remedy } = error;
  return { message, fields: { kind, where, expected, actual, remedy } };
}

/** @param thread names it in the text of an error that has no fields */
export const failureError = (thread: string, { message, fields }: ThreadFailure): Error =>
  fields === null ? new Error(`${thread}: ${message}`) : new HyperpolicyError(fields);
