/** Answers the requests of a stream in their order, each when it is ready: the simple case, without versions to keep. */

import { unavailable } from '../../src/contract/errors.ts';
import type { Call, ResponseSink, StreamSession } from '../call/rpc.ts';

export type OrderedStreamOptions<Request, Response> = {
  readonly sink: ResponseSink<Response>;
  readonly answer: (request: Request, call: Call) => Promise<Response>;
  /** Requests that may be pending before the client is slowed down. */
  readonly pendingCountMax: number;
};

export function createOrderedStream<Request, Response>({
  sink,
  answer,
  pendingCountMax,
}: OrderedStreamOptions<Request, Response>): StreamSession<Request> {
  const pending: { done: Response | undefined }[] = [];
  let ending: { readonly error?: unknown } | undefined;
  let closed = false;

  function end(error: unknown): void {
    if (closed) return;
    closed = true;
    sink.end(error);
  }

  function flush(): void {
    const wasFull = pending.length >= pendingCountMax;
    while (!closed && pending[0]?.done !== undefined) sink.send(pending.shift()!.done!);
    if (wasFull && pending.length < pendingCountMax) sink.resume();
    if (pending.length === 0 && ending !== undefined) end(ending.error);
  }

  return {
    receive(request, call) {
      if (closed || ending !== undefined) return;
      const slot: { done: Response | undefined } = { done: undefined };
      pending.push(slot);
      if (pending.length >= pendingCountMax) sink.pause();
      answer(request, call).then((response) => {
        slot.done = response;
        call.record?.end('OK', call);
        flush();
      }, end);
    },
    finish() {
      ending ??= {};
      flush();
    },
    abandon() {
      closed = true;
    },
    drain() {
      ending ??= {
        error: unavailable({
          where: 'stream',
          expected: 'a server that takes requests',
          actual: 'one that drains',
          remedy: 'Open a new stream',
        }),
      };
      flush();
    },
  };
}
