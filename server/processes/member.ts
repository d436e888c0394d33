/** One place in a group of processes: the process that fills it, and its state. */

import { type Answerers, Link } from '../../src/messages/link.ts';
import type { MetricValues } from '../../src/metrics/joined.ts';
import type { TriedVersion } from '../models/load.ts';
import type { ReadyModel } from '../models/model-store.ts';
import type { ProcessLink, ToParent, ToProcess } from './messages.ts';

/** A forked process that waits for its first message. */
export type Forked = {
  /** May throw if the process has ended. */
  send(message: object): void;
  onMessage(listener: (message: unknown) => void): void;
  onExit(listener: (code: number | null, signal: string | null) => void): void;
  kill(): void;
};

/** How often a process is asked for a sign of life. */
export const lifeMs = 10_000;
/** Unanswered questions in a row. Counted, not timed, so that a pause of the parent adds only one. */
const silentCountMax = 3;
/** The reason to kill a process that hangs: it neither answers nor ends, so its clients would wait for ever. */
export const silence = `no sign of life for ${(lifeMs * silentCountMax) / 1000} s`;

export class Member {
  readonly number: number;
  process: Forked | undefined;
  link: ProcessLink | undefined;
  /** Resolves when the process listens to messages (earlier ones are lost), or has ended. */
  greeted: Promise<unknown> = Promise.resolve();
  /** It has loaded its models. From now on it takes part in every Prepare, after it has caught up. */
  isLoaded = false;
  /** Resolves when it has pinned what the others have pinned, or has ended. */
  caughtUp: Promise<unknown> = Promise.resolve();
  /** This process is scanning the store alone. */
  isLooking = false;
  /** Ready models; undefined while it starts. */
  models: readonly ReadyModel[] | undefined;
  /** Versions that take long to load. */
  trying: readonly TriedVersion[] = [];
  /** Its metrics, as last asked for. */
  counted: readonly MetricValues[] = [];
  /** When it began to serve. */
  startedAtMs = 0;
  /** Deaths in this place since a process last served for `steadyMs`. */
  deathCount = 0;
  restart: NodeJS.Timeout | undefined;
  /**
   * With port 0 in the settings, the first process gets a port from the system, and others that ask for 0 share it while one of them
   * lives. After that the port must be asked for by its number. If the port differs, the next attempt uses the other form.
   */
  byNumber = false;
  /** Resolves when it ends, with false after an error. */
  exited: Promise<boolean> = Promise.resolve(true);
  /** Undefined until `greeted`. */
  #life: { isAsked: boolean; silentCount: number } | undefined;

  /** A place without a process. */
  constructor(number: number) {
    this.number = number;
  }

  /** Too many questions for a sign of life are unanswered. */
  get isHung(): boolean {
    return (this.#life?.silentCount ?? 0) >= silentCountMax;
  }

  /**
   * Fills the place, and waits until the process asks for its settings or ends.
   * @param answers to questions of the process
   * @param onExit called once, after the link is closed
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
    this.trying = [];
    this.isLoaded = false;
    this.counted = [];
    this.#life = undefined;
  }

  /** Asks for a sign of life, or counts a silence if the last question is still open. To be called every `lifeMs`. */
  askForLife(): void {
    const life = this.#life;
    if (life === undefined) return;
    if (life.isAsked) {
      life.silentCount++;
      return;
    }
    life.isAsked = true;
    const answered = () => Object.assign(life, { isAsked: false, silentCount: 0 });
    // A failed question is not an answer.
    this.link?.ask('lives', null, Infinity).then(answered, () => {});
  }
}
