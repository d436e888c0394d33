/** What the pool and its worker threads say to each other, and how an error crosses between them. */

import { type ErrorKind, HyperpolicyError } from '../contract/errors.ts';
import type { ListedFile } from '../package/listed-file.ts';
import type { Device } from './providers.ts';
import type { SessionOptions, TensorInfo } from './session.ts';
import type { TensorPlace } from './shared-tensors.ts';

/** What a thread is started with. */
export type WorkerData = {
  /** The thread writes the system's id of itself here; 0 where its priority cannot be changed and raised again. Shared, [1]. */
  readonly systemId: Int32Array;
};

export type OpenRequest = {
  readonly kind: 'open';
  readonly session: number;
  /** A file is read and verified by the thread itself. */
  readonly model: SharedArrayBuffer | ListedFile;
  readonly options: SessionOptions;
  /** Runs over zeros, each with so many rows, before the session counts as open. */
  readonly warmUpRowCounts: readonly number[];
  readonly restRatio: number;
  readonly name: string;
};

export type Request =
  | OpenRequest
  /** Inputs and outputs lie in the blocks of a lane; a block is sent when it changes, like the reply's. */
  | { kind: 'run'; session: number; lane: number; places: TensorPlace[]; block?: SharedArrayBuffer }
  | { kind: 'close'; session: number }
  /** Disposes every session and ends the thread. */
  | { kind: 'end' };

export type Opened = {
  readonly device: Device;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
};

/** A request or a reply, with the number of the request: while a thread reads a file, runs are answered. */
export type Numbered<T> = { readonly id: number; readonly content: T };

/** One per request but `end`. */
export type Reply =
  | ({ kind: 'opened' } & Opened)
  | { kind: 'ran'; places: TensorPlace[]; block?: SharedArrayBuffer }
  | { kind: 'closed' }
  | { kind: 'failed'; error: CarriedError };

/** An error as plain data. */
export type CarriedError = {
  readonly message: string;
  readonly stack: string | undefined;
  /** Of a {@link HyperpolicyError}. */
  readonly fields?: {
    readonly kind: ErrorKind;
    readonly where: string;
    readonly expected: string;
    readonly actual: string;
    readonly remedy: string | undefined;
  };
};

export function carry(error: unknown): CarriedError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  if (!(error instanceof HyperpolicyError)) return { message, stack };
  const { kind, where, expected, actual, remedy } = error;
  return { message, stack, fields: { kind, where, expected, actual, remedy } };
}

/** The error with the thread's stack as its own. */
export function uncarry({ message, stack, fields }: CarriedError): Error {
  const error = fields === undefined ? new Error(message) : new HyperpolicyError(fields);
  if (stack !== undefined) error.stack = stack;
  return error;
}
