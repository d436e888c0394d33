/** User code that did not return in the time that an interrupt, or the end of the run, gives it. */

import { HyperpolicyError } from '../../../src/contract/errors.ts';

/** How long a call into user code may take after an interrupt, and at the disposal of its environment. */
export const graceMs = 5000;

/** The place of a hang. Its thread was ended, so the state of its environment is lost. */
export class HangError extends HyperpolicyError {
  /**
   * @param where file, member, episode and step, as far as they are known
   * @param after what it was to end in time after
   */
  constructor(where: string, after: string) {
    super({
      kind: 'deadline_exceeded',
      where,
      expected: `an end within ${graceMs / 1000} s of ${after}`,
      actual: 'none, so its thread was ended',
      remedy: 'Look there for a loop or a wait that does not end',
    });
  }
}

/** For a run that a signal ended: the place where user code did not return, if any, as the cause of a failure. Call it last. */
export async function hangOf({
  signal,
  settle,
}: {
  readonly signal?: AbortSignal | undefined;
  readonly settle?: (() => Promise<HangError | undefined>) | undefined;
}): Promise<{ readonly cause: HangError } | undefined> {
  const cause = signal?.aborted === true ? await settle?.() : undefined;
  return cause && { cause };
}
