/** Unary methods over Connect (JSON over HTTP). Statuses are counted when the response is over, in http-answers.ts. */

import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { Code, ConnectError, createContextKey, type HandlerContext } from '@connectrpc/connect';
import { type StatusName, statusCodes } from '../../src/contract/status.ts';
import type { Call, Client } from '../call/rpc.ts';
import type { Invocations, Transport } from './invocation.ts';
import type { SomeHandler } from './unary-methods.ts';

type Message = MessageShape<DescMessage>;

/** The call and the status of a request. Undefined fields: no handler has seen it. */
export type HttpCall = { call?: Call; status?: StatusName };

/** The key under which a handler finds it. */
export const httpCallKey = createContextKey<HttpCall>({});

type Wire = {
  readonly request: Message;
  readonly httpCall: HttpCall;
  readonly resolve: (response: Message) => void;
  readonly reject: (error: ConnectError) => void;
};

/** A handler in the form of Connect. */
export function httpUnary(
  { output }: DescMethodUnary,
  handler: SomeHandler,
  invocations: Invocations,
): (request: Message, context: HandlerContext) => Promise<Message> {
  const transport: Transport<Wire, Message, MessageInitShape<DescMessage>, Message> = {
    read: ({ request }) => request,
    write: (response) => create(output, response),
    reply({ httpCall, resolve }, response) {
      httpCall.status = 'OK';
      resolve(response);
    },
    refuse({ httpCall, reject }, { name, text }) {
      httpCall.status = name;
      reject(new ConnectError(text, statusCodes[name] as Code));
    },
  };
  const answer = invocations.answerer(handler, transport);
  return (request, context) =>
    new Promise((resolve, reject) => {
      const timeoutMs = context.timeoutMs();
      const headers = (header: string) => context.requestHeader.get(header) ?? undefined;
      const httpCall = context.values.get(httpCallKey);
      httpCall.call = invocations.arrive({
        receivedAtMs: performance.now(),
        deadlineMs: timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs,
        headers,
        client: clientOf(context.signal),
      });
      answer({ request, httpCall, resolve, reject }, httpCall.call, headers);
    });
}

/** The library aborts a call whose time is over, too; that is for the deadline to tell. */
const clientOf = (signal: AbortSignal): Client => ({
  get cancelled() {
    return signal.aborted && ConnectError.from(signal.reason).code !== Code.DeadlineExceeded;
  },
});
