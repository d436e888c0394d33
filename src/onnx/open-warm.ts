/** Opens a graph and runs it for the first time, in steps with turns for others between. */

import type { Stepper } from '../pacing/unhurried.ts';
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
 * Opens the model with the second graph, if one is given. The second graph is optional: the model is opened alone if its operator set,
 * names or device do not allow both. The session's outputs show which it is.
 * @throws HyperpolicyError as openSession and warmUp
 */
export async function openWarm(model: Uint8Array, options: WarmOptions): Promise<Session> {
  if (options.second !== undefined) {
    try {
      const both = joined(model, options.second);
      if (both !== undefined) return await openOne(both, options);
    } catch {
      // What is wrong with the model itself is thrown below.
    }
  }
  return openOne(model, options);
}

async function openOne(model: Uint8Array, { name, options, warmUpRowCounts, step, runOf }: WarmOptions) {
  const session = await step(() => openSession(model, options, name));
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
