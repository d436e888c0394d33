/**
 * What `hyperpolicy/training` exports: a run from settings to a published model, as `hyperpolicy train` does it. The types are its own, so
 * that programs need none of those of the libraries behind it.
 */

import { algorithmNames as names } from './algorithms/registry.ts';
import { train as trainRun } from './train.ts';

export const algorithmNames: readonly string[] = names;

export type TrainOptions = {
  /** Settings as `hyperpolicy train ALGORITHM --print-config` prints them. `threadCount` is needed; defaults fill others that are missing. */
  readonly config: {
    readonly environment: string;
    readonly threadCount: number;
    readonly algorithm: { readonly name: string; readonly [setting: string]: unknown };
    readonly [setting: string]: unknown;
  };
  readonly runDirectory: string;
  /** Go on from the run directory's newest checkpoint. */
  readonly resume?: boolean | undefined;
  /** Aborting leaves a checkpoint and publishes nothing. */
  readonly signal?: AbortSignal | undefined;
  /** For progress, usually `process.stderr`. */
  readonly stream: { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown };
};

export type TrainResult = {
  /** Steps done, and whether the signal ended the run before its last one. */
  readonly run: { readonly step: number; readonly aborted: boolean };
  /** Undefined if nothing was published: no `publish` in the settings, or an earlier start of the run did it. */
  readonly published: { readonly version: number; readonly directory: string } | undefined;
};

/** Trains, and publishes if asked. @throws HyperpolicyError for settings that cannot be, and for what ends a run, with what is kept of it */
export const train: (options: TrainOptions) => Promise<TrainResult> = trainRun;
