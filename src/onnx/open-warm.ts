/** Opens a graph and runs it for the first time, in steps with turns for others between. */

import type { Stepper } from '../pacing/unhurried.ts';
import { checkForeign } from './foreign.ts';
import { joined } from './joined.ts';
import { openSession, type Session, type SessionOptions } from './session.ts';
import { warmUp } from './warm-up.ts';

export type WarmOptions = {
  readonly name: string;
  readonly options: SessionOptions;
  /** First runs, each with so many rows. */
  readonly warmUpRowCounts: readonly number[];
  /** A graph to join behind the model's, as `Joining.bytes`. */
  readonly second?: Uint8Array | undefined;
  /** Runs each call that cannot be divided. */
  readonly step: Stepper;
  /** How a session is run for the first time; by itself unless given. */
  readonly runOf?: (session: Session) => Session['run'];
};

/**
 * Opens the model, with the second graph if one is given.
 * @throws HyperpolicyError as openSession, warmUp and joined
 */
export async function openWarm(model: Uint8Array, warm: WarmOptions): Promise<Session> {
  const { name, options, warmUpRowCounts, second, step, runOf } = warm;
  const session = await step(() => openJoined(model, second, options, name));
  try {
    const run = runOf?.(session) ?? session.run;
    for (const rowCount of warmUpRowCounts) {
      await step(() => warmUp({ inputs: session.inputs, run }, rowCount, name));
    }
    return session;
  } catch (error) {
    session.dispose();
    throw error;
  }
}

/** The second graph is ours, and may repeat itself. */
function openJoined(model: Uint8Array, second: WarmOptions['second'], options: SessionOptions, name: string): Session {
  if (second === undefined) return openSession(model, options, name);
  if (options.foreign === true) checkForeign(model, name);
  return openSession(joined(model, second, name), { ...options, foreign: false }, name);
}
