/** Answers the requests of a stream in their order, each when it is ready: the simple case, without versions to keep. */

import { OrderedAnswers } from '../call/ordered-answers.ts';
import { type Call, draining, type StreamHandler } from '../call/rpc.ts';

/** @param pendingCountMax requests that may be pending before the client is slowed down */
export function orderedStream<Request, Response>(
  answer: (request: Request, call: Call) => Promise<Response>,
  pendingCountMax: number,
): StreamHandler<Request, Response> {
  return (sink) => {
    const answers = new OrderedAnswers<Response>({ sink, send: (one) => sink.send(one), countMax: pendingCountMax });
    /** Set once no more requests are taken. */
    let ending: { readonly error?: Error } | undefined;
    const endWhenDone = () => {
      if (ending !== undefined && answers.isEmpty) sink.end(ending.error);
    };
    const endWith = (error?: Error) => {
      ending ??= { ...(error && { error }) };
      endWhenDone();
    };
    return {
      receive(request, call) {
        if (ending !== undefined) return;
        const place = answers.expect();
        answer(request, call).then(
          (response) => {
            call.record?.end('OK', call);
            answers.give(response, place);
            endWhenDone();
          },
          (error: unknown) => sink.end(error),
        );
      },
      finish: () => endWith(),
      // Answers that come later are dropped by the sink.
      abandon() {},
      drain: () => endWith(draining('stream')),
    };
  };
}
