/**
 * Unary methods over Connect (JSON over HTTP): access, then the message, then a place among the requests in flight, and only then the library
 * decodes. Statuses are counted when the response is over, in http-answers.ts.
 */

import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { Code, ConnectError, createContextKey, type HandlerContext } from '@connectrpc/connect';
import { type StatusName, statusCodes } from '../../src/contract/status.ts';
import type { Caller } from '../call/caller.ts';
import type { HeaderReader } from '../call/request-record.ts';
import type { Call, Client } from '../call/rpc.ts';
import type { Status } from '../call/status.ts';
import type { Invocations, Transport } from './invocation.ts';
import type { SomeHandler } from './unary-methods.ts';

type Message = MessageShape<DescMessage>;

/** A request, as far as it has come. */
export type HttpCall = {
  /** When its body was there and it had a place among the requests in flight. */
  enteredAtMs?: number;
  caller?: Caller | undefined;
  /** Undefined until the library has decoded it, or access or place is refused. */
  call?: Call;
  /** Undefined until it is answered or refused, by anybody but the library. */
  status?: StatusName;
};

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
    refuse({ httpCall, reject }, status) {
      httpCall.status = status.name;
      reject(connectError(status));
    },
  };
  const answer = invocations.answerer(handler, transport);
  return (request, context) =>
    new Promise((resolve, reject) => {
      const timeoutMs = context.timeoutMs() ?? Number.POSITIVE_INFINITY;
      const headers = (header: string) => context.requestHeader.get(header) ?? undefined;
      const httpCall = context.values.get(httpCallKey);
      httpCall.call = invocations.arrive({
        receivedAtMs: httpCall.enteredAtMs!,
        // For the library 0 is over, even within the millisecond.
        deadlineMs: Date.now() + (timeoutMs > 0 ? timeoutMs : -1),
        headers,
        caller: httpCall.caller,
        client: clientOf(context.signal),
      });
      answer({ request, httpCall, resolve, reject }, httpCall.call);
    });
}

/**
 * The pieces of a body, after access is granted. When the last one is read, the request enters.
 * @throws ConnectError, which the library answers with, if either is refused
 */
export async function* entering(
  body: AsyncIterable<Uint8Array>,
  { invocations, headers, httpCall }: Admission,
): AsyncIterable<Uint8Array> {
  const receivedAtMs = performance.now();
  const orRefuse = <T>(step: () => T): T => {
    try {
      return step();
    } catch (error) {
      const call = invocations.open({ receivedAtMs, deadlineMs: Number.POSITIVE_INFINITY, headers });
      const status = invocations.describe(error, call);
      Object.assign(httpCall, { call, status: status.name });
      throw connectError(status);
    }
  };
  httpCall.caller = orRefuse(() => invocations.admit(headers));
  yield* body;
  orRefuse(() => invocations.enter());
  httpCall.enteredAtMs = performance.now();
}

export type Admission = {
  readonly invocations: Invocations;
  readonly headers: HeaderReader;
  readonly httpCall: HttpCall;
};

const connectError = ({ name, text }: Status): ConnectError => new ConnectError(text, statusCodes[name] as Code);

/** The library aborts a call whose time is over, too; that is for the deadline to tell. */
const clientOf = (signal: AbortSignal): Client => ({
  get cancelled() {
    return signal.aborted && ConnectError.from(signal.reason).code !== Code.DeadlineExceeded;
  },
});
