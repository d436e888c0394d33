/** User code that did not return in the time that an interrupt, or the end of the run, gives it. */

import { HyperpolicyError } from '../../../src/contract/errors.ts';

/** How long a call into user code may take after an interrupt: with all that follows, the run shall end within 5 s. */
export const graceMs = 3000;
/** How long the disposal of an environment may take, which may bring a machine to rest. */
export const disposalMs = 5000;

/** The place of a hang. Its thread was ended, so the state of its environment is lost. */
export class HangError extends HyperpolicyError {
  /**
   * @param where file, member, episode and step, as far as they are known
   * @param limitMs how long it might take
   * @param after what it was to end in time after
   */
  constructor(where: string, limitMs: number, after: string) {
    super({
      kind: 'deadline_exceeded',
      where,
      expected: `an end within ${limitMs / 1000} s of ${after}`,
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
