/** Sends the answers of one stream in the order of their requests. An answer waits until all before it are sent. */

import { type Call, draining, type ResponseSink, type StreamHandler } from './rpc.ts';

/** The place of an answer that is still being made. */
export type Place<Response> = { answer: Response | undefined };

export type OrderedAnswersOptions<Response> = {
  readonly sink: Pick<ResponseSink<Response>, 'pause' | 'resume'>;
  readonly send: (response: Response) => void;
  /** From this many pending answers on, nothing more is read from the client. */
  readonly countMax: number;
};

export class OrderedAnswers<Response> {
  readonly #options: OrderedAnswersOptions<Response>;
  readonly #places: Place<Response>[] = [];

  constructor(options: OrderedAnswersOptions<Response>) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#places.length === 0;
  }

  /** Answers that are not sent. */
  get pendingCount(): number {
    return this.#places.length;
  }

  /** Reserves the next place for an answer that comes later. */
  expect(): Place<Response> {
    const place: Place<Response> = { answer: undefined };
    this.#push(place);
    return place;
  }

  /** @param place reserved by `expect`; undefined if the answer was there at once */
  give(response: Response, place?: Place<Response>): void {
    if (place !== undefined) {
      place.answer = response;
      this.#flush();
    } else if (this.isEmpty) this.#options.send(response);
    // It waits for those before it.
    else this.#push({ answer: response });
  }

  #push(place: Place<Response>): void {
    this.#places.push(place);
    if (this.#places.length >= this.#options.countMax) this.#options.sink.pause();
  }

  #flush(): void {
    const { sink, send, countMax } = this.#options;
    const wasFull = this.#places.length >= countMax;
    while (this.#places[0]?.answer !== undefined) send(this.#places.shift()!.answer!);
    if (wasFull && this.#places.length < countMax) sink.resume();
  }
}

/**
 * A handler that answers each request of a stream by itself.
 * @param pendingCountMax from this many pending requests on, nothing more is read from the client
 */
export function orderedStream<Request, Response>(
  answer: (request: Request, call: Call) => Promise<Response>,
  pendingCountMax: number,
): StreamHandler<Request, Response> {
  return (sink) => {
    const answers = new OrderedAnswers<Response>({ sink, send: (one) => sink.send(one), countMax: pendingCountMax });
    /** Set when no more requests are accepted. */
    let ending: { readonly error?: Error } | undefined;
    const endWhenDone = () => {
      if (ending !== undefined && answers.isEmpty) sink.end(ending.error);
    };
    const endWith = (error?: Error) => {
      ending ??= { ...(error && { error }) };
      endWhenDone();
    };
    return {
      get pendingCount() {
        return answers.pendingCount;
      },
      receive(request, call) {
        if (ending !== undefined) return;
        const place = answers.expect();
        answer(request, call)
          .then((response) => {
            call.end('OK');
            answers.give(response, place);
            endWhenDone();
          })
          // Also an answer that cannot be written.
          .catch((error: unknown) => sink.end(error));
      },
      finish: () => endWith(),
      // The sink drops answers that come later.
      abandon() {},
      drain: () => endWith(draining('stream')),
    };
  };
}
