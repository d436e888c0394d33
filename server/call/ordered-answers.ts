/** The answers of one stream in the order of their requests: each is sent when it is there, and all before it are sent. */

import type { ResponseSink } from './rpc.ts';

/** The place of an answer that is still being made. */
export type Place<Response> = { answer: Response | undefined };

export type OrderedAnswersOptions<Response> = {
  readonly sink: Pick<ResponseSink<Response>, 'pause' | 'resume'>;
  readonly send: (response: Response) => void;
  /** Answers that may be awaited before the client is slowed down. */
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

  /** Keeps a place for an answer that comes later. */
  expect(): Place<Response> {
    const place: Place<Response> = { answer: undefined };
    this.#places.push(place);
    if (this.#places.length >= this.#options.countMax) this.#options.sink.pause();
    return place;
  }

  /** Gives an answer: of a place, or of a request that needs none because its answer is there at once. */
  give(response: Response, place?: Place<Response>): void {
    if (place !== undefined) place.answer = response;
    else if (this.isEmpty) {
      this.#options.send(response);
      return;
    } else this.#places.push({ answer: response });
    this.#flush();
  }

  #flush(): void {
    const { sink, send, countMax } = this.#options;
    const wasFull = this.#places.length >= countMax;
    while (this.#places[0]?.answer !== undefined) send(this.#places.shift()!.answer!);
    if (wasFull && this.#places.length < countMax) sink.resume();
  }
}
