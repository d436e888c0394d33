/** One place in a group of processes, and what the group knows of the process that fills it. */

import type { LifeSigns } from './life-signs.ts';
import type { Link, MetricValues, ReadyModel, ToProcess } from './messages.ts';

/** A process that was forked and waits for its first message. */
export type Forked = {
  /** May throw where it has ended. */
  send(message: object): void;
  onMessage(listener: (message: unknown) => void): void;
  onExit(listener: (code: number | null, signal: string | null) => void): void;
  kill(): void;
};

export type Member = {
  readonly number: number;
  process: Forked | undefined;
  link: Link<ToProcess> | undefined;
  /** It listens, or has ended: what is sent to it before is lost. */
  greeted: Promise<unknown>;
  /** It has its models: what is prepared in the others is prepared in it, once it has caught up. */
  isLoaded: boolean;
  /** It has what was pinned in the others, or has ended. */
  caughtUp: Promise<unknown>;
  isLooking: boolean;
  /** Undefined until it is greeted. */
  life: LifeSigns | undefined;
  /** Undefined while it starts. */
  models: readonly ReadyModel[] | undefined;
  /** When it was last asked. */
  counted: readonly MetricValues[];
  startedAtMs: number;
  /**
   * Where the settings say port 0, processes that ask for 0 share what it gave for as long as one of them lives; then it must be asked
   * for by its number, and is shared under that. If the port differs, the next attempt uses the other form.
   */
  byNumber: boolean;
  /** Deaths since it last served for `steadyMs`. */
  deathCount: number;
  restart: NodeJS.Timeout | undefined;
  exited: Promise<boolean>;
};

/** An empty place. */
export const createMember = (number: number): Member => ({
  number,
  process: undefined,
  link: undefined,
  greeted: Promise.resolve(),
  isLoaded: false,
  caughtUp: Promise.resolve(),
  isLooking: false,
  life: undefined,
  models: undefined,
  counted: [],
  startedAtMs: 0,
  byNumber: false,
  deathCount: 0,
  restart: undefined,
  exited: Promise.resolve(true),
});
