/**
 * Questions and answers between the parent of a server and its processes, over the channel that Node gives them. Knows neither who is on
 * the other side nor how it was started.
 */

import { type ErrorFields, HyperpolicyError, resourceExhausted, unavailable } from '../../src/contract/errors.ts';
import { timerMs } from '../../src/contract/timers.ts';
import type { ServerSettings } from '../config.ts';
import type { SharedSpool } from '../handles/open-handles.ts';
import type { Spent } from './rates.ts';

/** Names of questions, each with what is asked and what is answered. */
type Questions = Record<string, { readonly body: unknown; readonly answer: unknown }>;

/** A model and the versions of it that are ready in a process, newest first. */
export type ReadyModel = { readonly model: string; readonly versions: readonly number[] };

/** What a metric is in transit. */
export type MetricValues = {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly aggregator: string;
  readonly values: readonly unknown[];
};

/** A Prepare that names its version. `deadlineMs` is on the clock of `Date.now()`, which processes share. */
export type PrepareOrder = { readonly request: Uint8Array; readonly deadlineMs: number };

/** What the parent asks a process. */
export type ToProcess = {
  start: {
    readonly body: { readonly settings: ServerSettings; readonly process: number; readonly spool: SharedSpool };
    readonly answer: {
      readonly port: number;
      readonly httpPort: number | undefined;
      readonly models: readonly ReadyModel[];
    };
  };
  /** Looks through the store; waits until the models are loaded. */
  refresh: { readonly body: null; readonly answer: readonly ReadyModel[] };
  /** Answers at once, whatever is being done: a sign of life. */
  lives: { readonly body: null; readonly answer: null };
  metrics: { readonly body: null; readonly answer: readonly MetricValues[] };
  /** Waits until the models are loaded; answers how many had to be made. */
  prepare: { readonly body: PrepareOrder; readonly answer: number };
  /** What other processes have let in. */
  spent: { readonly body: Spent; readonly answer: null };
  /** Drains, and answers when everything is freed. */
  stop: { readonly body: null; readonly answer: null };
};

/** What a process asks the parent. */
export type ToParent = {
  /** It listens: what is sent to a process before is lost. */
  hello: { readonly body: null; readonly answer: null };
  /**
   * It has its models and listens when it is answered: until then it is made equal to the others. What is left of the rates of tokens is
   * in the answer, and what is `spent` comes from then on.
   */
  loaded: { readonly body: null; readonly answer: { readonly left: Spent } };
  /** What it has let in. */
  spent: { readonly body: Spent; readonly answer: null };
  /** To be prepared in every other process; answers the most that had to be made in one. */
  prepareElsewhere: { readonly body: PrepareOrder; readonly answer: number };
};

type Answerers<Asked extends Questions> = {
  readonly [Kind in keyof Asked]: (body: Asked[Kind]['body']) => Promise<Asked[Kind]['answer']>;
};

export type Link<Asks extends Questions> = {
  /**
   * @param timeoutMs how long the answer may take
   * @throws HyperpolicyError as the other side's; unavailable: no answer in time, or the other side is gone; resource_exhausted: too
   *   many questions are open
   */
  ask<Kind extends keyof Asks & string>(
    kind: Kind,
    body: Asks[Kind]['body'],
    timeoutMs: number,
  ): Promise<Asks[Kind]['answer']>;
  /** Takes a message from the channel. */
  receive(message: unknown): void;
  /** The other side is gone: every open question fails, and every later one. */
  close(): void;
  readonly closed: boolean;
};

export type LinkOptions<Asked extends Questions> = {
  /** Who is on the other side, for errors. */
  readonly name: string;
  /** Puts a message on the channel; may throw where it is closed. */
  readonly send: (message: object) => void;
  readonly answer: Answerers<Asked>;
};

/** Questions that may be open at once on one link. */
const openCountMax = 4096;

type WireError = ErrorFields | { readonly fault: string };
type Message =
  | { readonly ask: number; readonly kind: string; readonly body: unknown }
  | { readonly answer: number; readonly body: unknown }
  | { readonly answer: number; readonly error: WireError };

type Open = { resolve(body: unknown): void; reject(error: Error): void; readonly timer: NodeJS.Timeout | undefined };

/** One end of the channel: asks, and answers what it is asked. */
export function createLink<Asks extends Questions, Asked extends Questions>({
  name,
  send,
  answer,
}: LinkOptions<Asked>): Link<Asks> {
  const open = new Map<number, Open>();
  let count = 0;
  let closed = false;
  const gone = () => unavailable({ where: name, expected: 'a process that runs', actual: 'one that has ended' });

  function settle(id: number): Open | undefined {
    const question = open.get(id);
    open.delete(id);
    clearTimeout(question?.timer);
    return question;
  }

  async function reply(id: number, kind: string, body: unknown): Promise<void> {
    let message: Message;
    try {
      message = { answer: id, body: await answer[kind]!(body) };
    } catch (error) {
      message = { answer: id, error: toWire(error) };
    }
    try {
      if (!closed) send(message);
    } catch {
      // The other side went while it was answered.
    }
  }

  return {
    ask(kind, body, timeoutMs) {
      if (closed) return Promise.reject(gone());
      if (open.size >= openCountMax) {
        return Promise.reject(
          resourceExhausted({
            where: name,
            expected: `at most ${openCountMax} open questions between processes`,
            actual: 'one more',
            remedy: 'Retry with backoff',
          }),
        );
      }
      const id = count++;
      return new Promise((resolve, reject) => {
        const fail = () => {
          settle(id);
          reject(unavailable({ where: name, expected: `an answer within ${timeoutMs} ms`, actual: 'none' }));
        };
        const timer = Number.isFinite(timeoutMs) ? setTimeout(fail, timerMs(timeoutMs)) : undefined;
        open.set(id, { resolve: resolve as (body: unknown) => void, reject, timer });
        try {
          send({ ask: id, kind, body } satisfies Message);
        } catch {
          settle(id);
          reject(gone());
        }
      });
    },
    receive(raw) {
      const message = raw as Message;
      if ('ask' in message) void reply(message.ask, message.kind, message.body);
      else if ('error' in message) settle(message.answer)?.reject(fromWire(message.error));
      else if ('answer' in message) settle(message.answer)?.resolve(message.body);
    },
    close() {
      closed = true;
      for (const id of [...open.keys()]) settle(id)?.reject(gone());
    },
    get closed() {
      return closed;
    },
  };
}

function toWire(error: unknown): WireError {
  if (!(error instanceof HyperpolicyError)) return { fault: error instanceof Error ? error.message : String(error) };
  const { kind, where, expected, actual, remedy } = error;
  return { kind, where, expected, actual, remedy };
}

const fromWire = (error: WireError): Error => ('fault' in error ? new Error(error.fault) : new HyperpolicyError(error));
