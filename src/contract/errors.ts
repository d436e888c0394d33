/** The one error hierarchy. Each error says where, what was expected, what came, and what to do; `kind` maps to a gRPC status in status.ts. */

import type { ErrorKind } from './error-kinds.ts';

export type { ErrorKind } from './error-kinds.ts';

export type ErrorFields = {
  readonly kind: ErrorKind;
  /** The operation or file that refuses, e.g. `Act` or `manifest.json`. */
  readonly where: string;
  /** What is accepted, as a noun phrase: `17 values per row`. */
  readonly expected: string;
  /** What came, as a noun phrase: `16`. */
  readonly actual: string;
  /** One sentence that says what to do about it, without its full stop. */
  readonly remedy?: string | undefined;
  /** It is neither the request's nor a bound's: whoever runs the process has to act, so a server logs it and alerts, whatever the kind. */
  readonly isFault?: boolean | undefined;
  readonly cause?: unknown;
};

/**
 * An error that its reader can act on. Anything else that is thrown is an internal fault.
 *
 * The message is `where: expected X, got Y. Remedy.`
 */
export class HyperpolicyError extends Error {
  readonly kind: ErrorKind;
  readonly where: string;
  readonly expected: string;
  readonly actual: string;
  readonly remedy: string | undefined;
  readonly isFault: boolean;

  constructor({ kind, where, expected, actual, remedy, isFault = false, cause }: ErrorFields) {
    const advice = remedy === undefined ? '' : `. ${remedy}`;
    super(`${where}: expected ${expected}, got ${actual}${advice}`, cause === undefined ? undefined : { cause });
    this.name = 'HyperpolicyError';
    this.kind = kind;
    this.where = where;
    this.expected = expected;
    this.actual = actual;
    this.remedy = remedy;
    this.isFault = isFault;
  }
}

type Fields = Omit<ErrorFields, 'kind'>;

export const invalidArgument = (fields: Fields) => new HyperpolicyError({ kind: 'invalid_argument', ...fields });
export const notFound = (fields: Fields) => new HyperpolicyError({ kind: 'not_found', ...fields });
export const failedPrecondition = (fields: Fields) => new HyperpolicyError({ kind: 'failed_precondition', ...fields });
export const resourceExhausted = (fields: Fields) => new HyperpolicyError({ kind: 'resource_exhausted', ...fields });
export const deadlineExceeded = (fields: Fields) => new HyperpolicyError({ kind: 'deadline_exceeded', ...fields });
export const superseded = (fields: Fields) => new HyperpolicyError({ kind: 'superseded', ...fields });
export const cancelled = (fields: Fields) => new HyperpolicyError({ kind: 'cancelled', ...fields });
export const unavailable = (fields: Fields) => new HyperpolicyError({ kind: 'unavailable', ...fields });

/** What somebody sent, for an error: the first of it, so that its length is bounded. */
export const quoted = (text: string): string => JSON.stringify(text.slice(0, 100));

/** A setting or the like, for an error: as JSON, which shows neither NaN nor infinities, so numbers by their names. The first of it. */
export const shownValue = (value: unknown): string =>
  (typeof value === 'number' ? String(value) : JSON.stringify(value)).slice(0, 100);

/** What to do about a store without a model, for errors and the log. */
export const emptyStoreRemedy =
  'Publish one into the store of the server: "hyperpolicy train td3", or to try it "hyperpolicy models make-random --model demo"';
