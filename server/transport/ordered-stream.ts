/** Answers the requests of a stream in their order, each when it is ready: the simple case, without versions to keep. */

import { OrderedAnswers } from '../call/ordered-answers.ts';
import { type Call, draining, type ResponseSink, type StreamSession } from '../call/rpc.ts';

export type OrderedStreamOptions<Request, Response> = {
  readonly sink: ResponseSink<Response>;
  readonly answer: (request: Request, call: Call) => Promise<Response>;
  /** Requests that may be pending before the client is slowed down. */
  readonly pendingCountMax: number;
};

export const createOrderedStream = <Request, Response>(
  options: OrderedStreamOptions<Request, Response>,
): StreamSession<Request> => new OrderedStream(options);

class OrderedStream<Request, Response> implements StreamSession<Request> {
  readonly #options: OrderedStreamOptions<Request, Response>;
  readonly #answers: OrderedAnswers<Response>;
  /** Set once no more requests are taken. */
  #ending: { readonly error?: unknown } | undefined;
  #isClosed = false;

  constructor(options: OrderedStreamOptions<Request, Response>) {
    const { sink, pendingCountMax: countMax } = options;
    this.#options = options;
    this.#answers = new OrderedAnswers({ sink, send: (response) => sink.send(response), countMax });
  }

  receive(request: Request, call: Call): void {
    if (this.#isClosed || this.#ending !== undefined) return;
    const place = this.#answers.expect();
    this.#options.answer(request, call).then(
      (response) => {
        call.record?.end('OK', call);
        if (this.#isClosed) return;
        this.#answers.give(response, place);
        this.#endWhenDone();
      },
      (error: unknown) => this.#end(error),
    );
  }

  finish(): void {
    this.#ending ??= {};
    this.#endWhenDone();
  }

  abandon(): void {
    this.#isClosed = true;
  }

  drain(): void {
    this.#ending ??= { error: draining('stream') };
    this.#endWhenDone();
  }

  #endWhenDone(): void {
    if (this.#ending !== undefined && this.#answers.isEmpty) this.#end(this.#ending.error);
  }

  #end(error: unknown): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.sink.end(error);
  }
}
