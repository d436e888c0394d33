/**
 * Unary methods over grpc-js.
 *
 * grpc-js does not decode messages itself: so a message that does not parse is INVALID_ARGUMENT, and the time of its arrival is known
 * before it is decoded.
 */

import type { DescMessage, DescMethodUnary, DescService, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type grpc from '@grpc/grpc-js';
import { tooLarge } from '../../src/contract/grpc-frames.ts';
import type { UnaryHandler, UnaryHandlers } from '../call/rpc.ts';
import { type Arriving, type Held, watchArrival } from './arrivals.ts';
import { type Codec, descriptorCodec } from './codec.ts';
import {
  deadlineOf,
  definitionOf,
  type EarlyCalls,
  type GrpcMethod,
  headersOf,
  serviceError,
  statusObject,
} from './grpc-call.ts';
import { arrivedBytes, freeUnhandled, gatherArrived, internalsOf, type LibraryCall } from './grpc-library-call.ts';
import { Invocations, type MethodDeps, type RequestGate, type Transport } from './invocation.ts';
import { unaryMethodsOf } from './unary-methods.ts';

export type MethodOptions = {
  /** For methods with their own codec. */
  readonly codecs?: Readonly<Record<string, Codec<DescMessage, DescMessage>>>;
  /** For methods with another gate than the others. */
  readonly gates?: Readonly<Record<string, RequestGate>>;
};

/** Every unary method of a service. */
export const unaryMethods = <S extends DescService>(
  service: S,
  handlers: UnaryHandlers<S>,
  deps: MethodDeps,
  { codecs = {}, gates = {} }: MethodOptions = {},
): GrpcMethod[] =>
  unaryMethodsOf(service, handlers).map(([method, handler]) => {
    const gate = gates[method.localName] ?? deps.gate;
    return unaryMethod(method, handler, { ...deps, gate }, codecs[method.localName]);
  });

type Callback = grpc.sendUnaryData<Uint8Array>;
type Wire = { readonly bytes: Buffer; readonly callback: Callback };

/** A method that answers one request with one response. */
export function unaryMethod<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  handler: UnaryHandler<MessageShape<I>, MessageInitShape<O>>,
  deps: MethodDeps,
  codec: Codec<I, O> = descriptorCodec(method),
): GrpcMethod {
  const { parent, name } = method;
  const invocations = new Invocations(method, 'unary', deps);
  const transport = transportOf(invocations, codec, deps);
  const answer = invocations.answerer(handler, transport);

  function receive(call: grpc.ServerUnaryCall<Buffer, Uint8Array>, callback: Callback): void {
    const receivedAtMs = performance.now();
    invocations.counts.started();
    const headers = headersOf(call);
    const arrived = invocations.arrive({ receivedAtMs, deadlineMs: deadlineOf(call), headers, client: call });
    const wire = { bytes: call.request, callback };
    try {
      arrived.caller = invocations.admit(headers);
      invocations.enter();
    } catch (error) {
      transport.refuse(wire, invocations.describe(error, arrived), arrived);
      return;
    }
    answer(wire, arrived);
  }
  return {
    service: parent.typeName,
    name,
    definition: definitionOf(parent.typeName, name, 'unary'),
    implementation: receive as grpc.UntypedHandleCall,
    early: earlyCallsOf(invocations),
  };
}

const earlyCallsOf = (invocations: Invocations): EarlyCalls => ({
  check: (metadata) => void invocations.know(headersOf({ metadata })),
  refuse(call, error) {
    invocations.counts.started();
    const headers = headersOf(internalsOf(call));
    const opened = invocations.open({ receivedAtMs: performance.now(), deadlineMs: deadlineOf(call), headers });
    const status = invocations.describe(error, opened);
    invocations.end(status.name, opened);
    call.sendStatus(statusObject(status));
  },
});

/** Looked at until its request is whole: the library hands it on only then. */
class UnaryArrival implements Arriving {
  readonly #call: LibraryCall;
  readonly #early: EarlyCalls;

  constructor(call: LibraryCall, early: EarlyCalls) {
    this.#call = call;
    this.#early = early;
  }

  look(): Held | undefined {
    const call = internalsOf(this.#call);
    if (call.receivedHalfClose) return undefined;
    if (call.cancelled) {
      freeUnhandled(call);
      return undefined;
    }
    gatherArrived(call);
    return { index: 0, bytes: arrivedBytes(call), isAwaited: true };
  }

  check(): void {
    this.#early.check(internalsOf(this.#call).metadata);
  }

  refuse(error: unknown): void {
    this.#early.refuse(this.#call, error);
    freeUnhandled(internalsOf(this.#call));
  }
}

/** Has a call looked at from its headers on. The library unpacks a compressed request before it hands it on: its caller is checked at once. */
export function watchUnary(call: LibraryCall, early: EarlyCalls): void {
  const arrival = new UnaryArrival(call, early);
  const { stream, incomingEncoding } = internalsOf(call);
  if (incomingEncoding !== 'identity') {
    try {
      arrival.check();
    } catch (error) {
      arrival.refuse(error);
      return;
    }
  }
  watchArrival(stream, arrival);
}

/** How the calls of a method are read and answered. */
function transportOf<I extends DescMessage, O extends DescMessage>(
  invocations: Invocations,
  codec: Codec<I, O>,
  { log, config: { messageBytesMax } }: MethodDeps,
): Transport<Wire, MessageShape<I>, MessageInitShape<O>, Uint8Array> {
  const { name: method, counts } = invocations;
  function send({ callback }: Wire, ...reply: Parameters<Callback>): void {
    try {
      callback(...reply);
    } catch (error) {
      // The request is already answered and counted.
      log.error({ err: error, method }, 'answer not sent');
    }
  }
  return {
    read: ({ bytes }) => invocations.decode(codec.decode, bytes),
    write(response, call) {
      const bytes = invocations.encode(codec.encode, response, call);
      if (bytes.length <= messageBytesMax) return bytes;
      throw tooLarge(`${method} response`, messageBytesMax, bytes.length, 'Split the batch');
    },
    reply(wire, bytes, call) {
      counts.sent();
      invocations.end('OK', call);
      send(wire, null, bytes);
    },
    refuse(wire, status, call) {
      invocations.end(status.name, call);
      send(wire, serviceError(status));
    },
  };
}
