/** What the pool asks its worker threads. */

import type { ListedFile } from '../package/listed-file.ts';
import type { Device } from './providers.ts';
import type { SessionOptions, TensorInfo } from './session.ts';
import type { TensorPlace } from './shared-tensors.ts';

/** What a thread is started with. */
export type WorkerData = {
  /**
   * The thread writes the system's id of itself here, 0 if the system has none; and the same again, 0 if its priority cannot be lowered and
   * raised again. Shared, [2].
   */
  readonly systemId: Int32Array;
  /** Counts up before and after each native call, so that calls can be watched; then the session of the call. Shared, [2]. */
  readonly calls: Int32Array;
};

export type OpenRequest = {
  readonly session: number;
  /** A file is read and verified by the thread itself. */
  readonly model: SharedArrayBuffer | ListedFile;
  /** A graph to join behind it: openWarm. */
  readonly second?: Uint8Array | undefined;
  readonly options: SessionOptions;
  /** Runs over zeros, each with so many rows, before the session counts as open. */
  readonly warmUpRowCounts: readonly number[];
  readonly restRatio: number;
  readonly name: string;
};

export type Opened = {
  readonly device: Device;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
};

/** Where tensors lie in the block of a lane, which is sent when it changes. */
type Placed = { readonly places: TensorPlace[]; readonly block?: SharedArrayBuffer };

/** While a thread reads a file, runs are answered. */
export type ToThread = {
  open(request: OpenRequest): Opened;
  /** Inputs and outputs lie in the blocks of a lane. All outputs are computed, unless names are given. */
  run(
    request: Placed & { readonly session: number; readonly lane: number; readonly outputs?: readonly string[] },
  ): Placed;
  close(request: { readonly session: number }): null;
  /** Disposes every session and ends the thread. */
  end(request: null): null;
};

/** What a thread asks the pool: nothing. */
export type ToPool = Record<never, never>;
