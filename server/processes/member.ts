/** One place in a group of processes: the process that fills it, and what the group knows of it. */

import { type Answerers, Link } from '../../src/messages/link.ts';
import type { ReadyModel } from '../models/model-store.ts';
import type { MetricValues, ProcessLink, ToParent, ToProcess } from './messages.ts';

/** A process that was forked and waits for its first message. */
export type Forked = {
  /** May throw where it has ended. */
  send(message: object): void;
  onMessage(listener: (message: unknown) => void): void;
  onExit(listener: (code: number | null, signal: string | null) => void): void;
  kill(): void;
};

/** How often a process is asked for a sign of life. */
export const lifeMs = 10_000;
/** Unanswered questions in a row. Counted, not timed: while the parent itself is stopped, only one is added. */
const silentCountMax = 3;
/** Reported of a process that hangs: it neither answers nor ends, so its clients would wait for ever. */
export const silence = `no sign of life for ${(lifeMs * silentCountMax) / 1000} s`;

export class Member {
  readonly number: number;
  process: Forked | undefined;
  link: ProcessLink | undefined;
  /** Resolves when the process listens (messages sent earlier are lost), or has ended. */
  greeted: Promise<unknown> = Promise.resolve();
  /** It has its models. From now on it takes part in every Prepare, once it has caught up. */
  isLoaded = false;
  /** Resolves when it has pinned what the others have, or has ended. */
  caughtUp: Promise<unknown> = Promise.resolve();
  /** A look through the store by this process alone is under way. */
  isLooking = false;
  /** Undefined while it starts. */
  models: readonly ReadyModel[] | undefined;
  /** Its metrics when it was last asked. */
  counted: readonly MetricValues[] = [];
  /** When it began to serve. */
  startedAtMs = 0;
  /** Deaths in this place since one last served for long. */
  deathCount = 0;
  restart: NodeJS.Timeout | undefined;
  /**
   * With port 0 in the settings, the first process gets a port from the system, and others that ask for 0 share it while one of them
   * lives. After that the port must be asked for by its number. If the port differs, the next attempt uses the other form.
   */
  byNumber = false;
  /** Whether it ended well. */
  exited: Promise<boolean> = Promise.resolve(true);
  /** Undefined until it is greeted. */
  #life: { isAsked: boolean; silentCount: number } | undefined;

  /** A place without a process. */
  constructor(number: number) {
    this.number = number;
  }

  /** It has left too many questions for a sign of life unanswered. */
  get isHung(): boolean {
    return (this.#life?.silentCount ?? 0) >= silentCountMax;
  }

  /**
   * Takes a process, and waits until it asks for its settings or ends.
   * @param answers what the process asks the parent
   * @param onExit told once, when nothing of the process is left here
   */
  async take(
    process: Forked,
    answers: Omit<Answerers<ToParent>, 'hello'>,
    onExit: (code: number | null, signal: string | null) => void,
  ): Promise<ProcessLink> {
    let greet: (answer: null) => void = () => {};
    const hello = new Promise<null>((resolve) => {
      greet = resolve;
    });
    const link = new Link<ToProcess, ToParent>({
      name: `process ${this.number}`,
      send: (message) => process.send(message),
      answer: {
        ...answers,
        async hello() {
          greet(null);
          return null;
        },
      },
    });
    this.process = process;
    this.link = link;
    process.onMessage((message) => link.receive(message));
    this.exited = new Promise((resolve) => {
      process.onExit((code, signal) => {
        link.close();
        onExit(code, signal);
        resolve(code === 0);
      });
    });
    this.greeted = Promise.race([hello, this.exited]);
    await this.greeted;
    if (!link.closed) this.#life = { isAsked: false, silentCount: 0 };
    return link;
  }

  /** Empties the place. */
  leave(): void {
    this.process = undefined;
    this.link = undefined;
    this.models = undefined;
    this.isLoaded = false;
    this.counted = [];
    this.#life = undefined;
  }

  /** Asks for a sign of life, unless a question is open: then that was one more silence. To be called every `lifeMs`. */
  askForLife(): void {
    const life = this.#life;
    if (life === undefined) return;
    if (life.isAsked) {
      life.silentCount++;
      return;
    }
    life.isAsked = true;
    const answered = () => Object.assign(life, { isAsked: false, silentCount: 0 });
    // A question that fails is no answer.
    this.link?.ask('lives', null, Infinity).then(answered, () => {});
  }
}
