/** How a loop ends: by a failure or its signal, and with or without a checkpoint. */

import { PartialUpdate } from '../off-policy/finite-loss.ts';
import { HangError } from '../run/environment/hang.ts';

export type LoopFailure = { readonly cause: unknown };

/** Runs a loop's steps. @returns what ended them; undefined also if it was the signal: a resumed run does the work again that it cut */
export async function failureOf(
  steps: () => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<LoopFailure | undefined> {
  try {
    await steps();
    return undefined;
  } catch (cause) {
    const isCut = signal?.aborted === true && !(cause instanceof HangError || cause instanceof PartialUpdate);
    return isCut ? undefined : { cause };
  }
}

/** Whether the learner may be in the middle of an update: a checkpoint of it would take the place of one from which a run can go on. */
export const isInUpdate = (failure: LoopFailure | undefined): boolean => failure?.cause instanceof PartialUpdate;
