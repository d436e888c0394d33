/**
 * Questions and answers between two processes or threads, over whatever channel they have. Knows neither the other side nor
 * how it was started.
 */

import { type ErrorFields, HyperpolicyError, resourceExhausted, unavailable } from '../contract/errors.ts';
import { timerMs } from '../contract/timers.ts';

/** Questions by name: what is asked, and what is answered. */
export type Questions = Record<string, (body: never) => unknown>;

export type Answerers<Asked extends Questions> = {
  readonly [Kind in keyof Asked]: (
    body: Parameters<Asked[Kind]>[0],
  ) => ReturnType<Asked[Kind]> | Promise<ReturnType<Asked[Kind]>>;
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

/** `fields` of a HyperpolicyError, and the text of its cause. */
type WireError = {
  readonly message: string;
  readonly stack: string | undefined;
  readonly fields?: ErrorFields;
  readonly cause?: string | undefined;
};
type Message =
  | { readonly ask: number; readonly kind: string; readonly body: unknown }
  | { readonly answer: number; readonly body: unknown }
  | { readonly answer: number; readonly error: WireError };

type Open = { resolve(body: unknown): void; reject(error: Error): void; readonly timer: NodeJS.Timeout | undefined };

/** One end of the channel: asks, and answers what it is asked. */
export class Link<Asks extends Questions, Asked extends Questions> {
  readonly #options: LinkOptions<Asked>;
  readonly #open = new Map<number, Open>();
  #count = 0;
  /** Why it is closed. */
  #closed: Error | undefined;

  constructor(options: LinkOptions<Asked>) {
    this.#options = options;
  }

  get closed(): boolean {
    return this.#closed !== undefined;
  }

  /**
   * @param timeoutMs how long the answer may take
   * @throws HyperpolicyError as the other side's; unavailable: no answer in time, or the other side is gone; resource_exhausted: too
   *   many questions are open
   */
  async ask<Kind extends keyof Asks & string>(
    kind: Kind,
    body: Parameters<Asks[Kind]>[0],
    timeoutMs: number,
  ): Promise<ReturnType<Asks[Kind]>> {
    const { name: where, send } = this.#options;
    if (this.#closed !== undefined) throw this.#closed;
    if (this.#open.size >= openCountMax) {
      const expected = `at most ${openCountMax} open questions between processes`;
      throw resourceExhausted({ where, expected, actual: 'one more', remedy: 'Retry with backoff' });
    }
    const id = this.#count++;
    return new Promise<ReturnType<Asks[Kind]>>((resolve, reject) => {
      const fail = (error: Error) => this.#settle(id)?.reject(error);
      const expire = () => fail(unavailable({ where, expected: `an answer within ${timeoutMs} ms`, actual: 'none' }));
      const timer = Number.isFinite(timeoutMs) ? setTimeout(expire, timerMs(timeoutMs)) : undefined;
      this.#open.set(id, { resolve: resolve as (body: unknown) => void, reject, timer });
      try {
        send({ ask: id, kind, body } satisfies Message);
      } catch (error) {
        fail(gone(where, error));
      }
    });
  }

  /** Takes a message from the channel. */
  receive(raw: unknown): void {
    const message = raw as Message;
    if ('ask' in message) void this.#reply(message.ask, message.kind, message.body);
    else if ('error' in message) this.#settle(message.answer)?.reject(fromWire(message.error));
    else if ('answer' in message) this.#settle(message.answer)?.resolve(message.body);
  }

  /** The other side is gone: every open question fails, and every later one, for this reason where it is known. */
  close(reason: Error = gone(this.#options.name)): void {
    this.#closed = reason;
    for (const id of [...this.#open.keys()]) this.#settle(id)?.reject(reason);
  }

  #settle(id: number): Open | undefined {
    const question = this.#open.get(id);
    this.#open.delete(id);
    clearTimeout(question?.timer);
    return question;
  }

  async #reply(id: number, kind: string, body: unknown): Promise<void> {
    const { answer, send } = this.#options;
    let message: Message;
    try {
      message = { answer: id, body: await answer[kind]!(body as never) };
    } catch (error) {
      message = { answer: id, error: toWire(error) };
    }
    try {
      if (this.#closed === undefined) send(message);
    } catch {
      // The other side went while it was answered.
    }
  }
}

const gone = (where: string, cause?: unknown) =>
  unavailable({ where, expected: 'a process that runs', actual: 'one that has ended', cause });

function toWire(error: unknown): WireError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  if (!(error instanceof HyperpolicyError)) return { message, stack };
  const { kind, where, expected, actual, remedy, isFault, cause } = error;
  const fields = { kind, where, expected, actual, remedy, isFault };
  return { message, stack, fields, cause: cause instanceof Error ? cause.message : undefined };
}

/** The error with the stack of the other side. */
function fromWire({ message, stack, fields, cause: text }: WireError): Error {
  const cause = text === undefined ? undefined : new Error(text);
  const error = fields === undefined ? new Error(message) : new HyperpolicyError({ ...fields, cause });
  if (stack !== undefined) error.stack = stack;
  return error;
}
