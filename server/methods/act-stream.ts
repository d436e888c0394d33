/**
 * ActStream: actions over one stream. Keeps the version that the stream began with, the order of answers, and the bound on what one
 * client may have pending. What an answer is, is act.ts.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { invalidArgument, quoted, unavailable } from '../../src/contract/errors.ts';
import type {
  ActRequest,
  ActStreamRequest,
  ActStreamResponseSchema,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Call, ResponseSink, StreamHandler, StreamSession } from '../call/rpc.ts';
import type { Status } from '../call/status.ts';
import type { ServerConfig } from '../config.ts';
import type { ServedVersion } from '../models/served-version.ts';
import type { ActAnswerer, ActResponseInit } from './act.ts';
import type { ContextHandles } from './context-handles.ts';

export type ActStreamResponseInit = MessageInitShape<typeof ActStreamResponseSchema>;

export type ActStreamDeps = {
  readonly handles: ContextHandles;
  readonly config: ServerConfig;
  readonly answer: ActAnswerer;
  /** What a client is told of an error; also logs a fault. */
  readonly describe: (error: unknown, call: Call) => Status;
  /** Runs later in this turn of the event loop; `setImmediate` unless a test dispatches by hand. */
  readonly schedule?: (dispatch: () => void) => void;
};

type Received = { readonly request: ActRequest; readonly call: Call };

/** What no later request may change. */
type Fixed = Pick<ActRequest, 'model' | 'selection'>;

/** What the first request fixed. */
type Opening = {
  readonly fixed: Fixed;
  readonly newestWins: boolean;
  /** The version for a request that comes now. */
  readonly version: (received: Received) => ServedVersion;
  readonly release: () => void;
};

export function createActStreamHandler(deps: ActStreamDeps): StreamHandler<ActStreamRequest, ActStreamResponseInit> {
  return (sink) => openSession(deps, sink);
}

function openSession(deps: ActStreamDeps, sink: ResponseSink<ActStreamResponseInit>): StreamSession<ActStreamRequest> {
  const { config, answer, describe } = deps;
  const schedule = deps.schedule ?? ((dispatch) => void setImmediate(dispatch));
  /** Answers that wait for one before them; undefined while it is computed. */
  const slots: { done: ActStreamResponseInit | undefined }[] = [];
  let opening: Opening | undefined;
  let ending: { readonly error?: unknown } | undefined;
  let closed = false;
  /** Of newest-wins: the request that is answered next. */
  let newest: Received | undefined;
  let supersededCount = 0;

  function close(): void {
    if (closed) return;
    closed = true;
    opening?.release();
  }

  function endWhenDone(): void {
    if (ending === undefined || closed || slots.length > 0 || newest !== undefined) return;
    close();
    sink.end(ending.error);
  }

  function refusal(error: unknown, { request, call }: Received): ActStreamResponseInit {
    const { name, text } = describe(error, call);
    call.record?.end(name, call);
    return { result: { case: 'error', value: { status: name, text, sequence: request.sequence } } };
  }

  function answerNow(received: Received): void {
    let response: ActResponseInit | Promise<ActResponseInit>;
    try {
      const { fixed, version } = opening!;
      refuseChange(fixed, received.request);
      response = answer(version(received), received.request, received.call);
    } catch (error) {
      settle(undefined, refusal(error, received));
      return;
    }
    if (!(response instanceof Promise)) {
      settle(undefined, answered(response, received));
      return;
    }
    const slot = { done: undefined };
    slots.push(slot);
    if (slots.length >= config.streamRequestCountMax) sink.pause();
    response.then(
      (value) => settle(slot, answered(value, received)),
      (error: unknown) => settle(slot, refusal(error, received)),
    );
  }

  /** Sends an answer in its turn. */
  function settle(
    slot: { done: ActStreamResponseInit | undefined } | undefined,
    response: ActStreamResponseInit,
  ): void {
    if (closed) return;
    if (slot === undefined && slots.length > 0) slots.push({ done: response });
    else if (slot === undefined) send(response);
    else slot.done = response;
    const wasFull = slots.length >= config.streamRequestCountMax;
    while (slots[0]?.done !== undefined) send(slots.shift()!.done!);
    if (wasFull && slots.length < config.streamRequestCountMax) sink.resume();
    if (newest !== undefined && slots.length === 0) answerNewest();
    endWhenDone();
  }

  function send(response: ActStreamResponseInit): void {
    if (supersededCount > 0) response.supersededCount = supersededCount;
    supersededCount = 0;
    sink.send(response);
  }

  function answerNewest(): void {
    const received = newest;
    newest = undefined;
    if (received !== undefined && !closed) answerNow(received);
    endWhenDone();
  }

  return {
    receive({ act, follow, newestWins }, call) {
      if (closed || ending !== undefined) return;
      if (act === undefined) {
        ending = { error: invalidArgument({ where: 'ActStream', expected: 'a request in `act`', actual: 'none' }) };
        return endWhenDone();
      }
      if (opening === undefined) {
        try {
          opening = open(deps.handles, act, { follow, newestWins, call });
        } catch (error) {
          ending = { error };
          return endWhenDone();
        }
      }
      const received = { request: act, call };
      if (!opening.newestWins) return answerNow(received);
      if (newest !== undefined) supersededCount++;
      else if (slots.length === 0) schedule(answerNewest);
      newest = received;
    },
    finish() {
      ending ??= {};
      endWhenDone();
    },
    abandon: close,
    drain() {
      ending ??= {
        error: unavailable({
          where: 'ActStream',
          expected: 'a server that takes requests',
          actual: 'one that drains',
          remedy: 'Open a new stream',
        }),
      };
      endWhenDone();
    },
  };
}

function answered(value: ActResponseInit, { call }: Received): ActStreamResponseInit {
  call.record?.end('OK', call);
  return { result: { case: 'response', value } };
}

/** @throws HyperpolicyError where the first request's model cannot be served */
function open(
  handles: ContextHandles,
  first: ActRequest,
  { follow, newestWins, call }: { readonly follow: boolean; readonly newestWins: boolean; readonly call: Call },
): Opening {
  const served = handles.resolve('ActStream', first, call);
  // Where the first request has a handle and no name, the model is the handle's.
  const model = first.model === '' ? served.model : first.model;
  const { selection } = first;
  const fixed = { model, selection };
  if (follow) return { fixed, newestWins, version: follower(handles, { ...first, model }), release: () => {} };
  served.hold();
  return { fixed, newestWins, version: () => served, release: served.release };
}

/** What a stream that follows is answered by: the newest version, and for a handle its own. */
const follower =
  (handles: ContextHandles, { model, selection, clientId }: ActRequest): Opening['version'] =>
  ({ request: { contextSource }, call }) =>
    handles.resolve('ActStream', { model, selection, clientId, contextSource }, call);

/** @throws HyperpolicyError invalid_argument where a later request asks for something else than the first */
function refuseChange(first: Fixed, request: ActRequest): void {
  const sameModel = request.model === '' || request.model === first.model;
  const { selection } = request;
  const sameSelection =
    selection.case === undefined ||
    (selection.case === first.selection.case && selection.value === first.selection.value);
  if (sameModel && sameSelection) return;
  throw invalidArgument({
    where: 'ActStream model',
    expected: `that of the stream, "${first.model}", or none`,
    actual: sameModel ? 'another version or label' : quoted(request.model),
    remedy: 'Open a stream per model',
  });
}
