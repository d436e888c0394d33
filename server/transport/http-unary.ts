/** Unary methods over Connect (JSON over HTTP). What becomes of a request is counted when its response is over: http-calls.ts. */

import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { type Code, ConnectError, type HandlerContext } from '@connectrpc/connect';
import { statusCodes } from '../../src/contract/status.ts';
import type { UnaryHandler } from '../call/rpc.ts';
import { type HttpCall, httpCallOf } from './http-calls.ts';
import { createAnswerer, createInvocations, type MethodDeps, type Transport } from './invocation.ts';

type Wire<I, O> = {
  readonly request: I;
  readonly httpCall: HttpCall;
  readonly resolve: (response: O) => void;
  readonly reject: (error: ConnectError) => void;
};

/** A handler as Connect takes it. */
export function httpUnary<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  handler: UnaryHandler<MessageShape<I>, MessageInitShape<O>>,
  deps: MethodDeps,
): (request: MessageShape<I>, context: HandlerContext) => Promise<MessageShape<O>> {
  const invocations = createInvocations(method, 'unary', deps);
  const transport: Transport<
    Wire<MessageShape<I>, MessageShape<O>>,
    MessageShape<I>,
    MessageInitShape<O>,
    MessageShape<O>
  > = {
    read: ({ request }) => request,
    write: (response) => create(method.output, response),
    reply({ httpCall, resolve }, response) {
      httpCall.status = 'OK';
      resolve(response);
    },
    refuse({ httpCall, reject }, { name, text }) {
      httpCall.status = name;
      reject(new ConnectError(text, statusCodes[name] as Code));
    },
  };
  const answer = createAnswerer(invocations, handler, transport, deps);
  return (request, context) =>
    new Promise((resolve, reject) => {
      const timeoutMs = context.timeoutMs();
      const headers = (header: string) => context.requestHeader.get(header) ?? undefined;
      const httpCall = httpCallOf(context);
      httpCall.call = invocations.arrive({
        receivedAtMs: performance.now(),
        deadlineMs: timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs,
        headers,
      });
      answer({ request, httpCall, resolve, reject }, httpCall.call, headers);
    });
}
