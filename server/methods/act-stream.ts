/**
 * ActStream: actions over one stream. Owns the version that the stream began with, the order of answers, and the bound on pending
 * requests. act.ts computes the answers.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { invalidArgument, quoted } from '../../src/contract/errors.ts';
import type {
  ActRequest,
  ActStreamRequest,
  ActStreamResponseSchema,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { checkModelAllowed } from '../call/caller.ts';
import { OrderedAnswers, type Place } from '../call/ordered-answers.ts';
import { type Call, draining, type ResponseSink, type StreamHandler, type StreamSession } from '../call/rpc.ts';
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
  /** The status for an error; also logs faults. */
  readonly describe: (error: unknown, call: Call) => Status;
  /** Runs after this turn of the event loop; `setImmediate` unless a test dispatches by hand. */
  readonly schedule?: (dispatch: () => void) => unknown;
};

type Received = { readonly request: ActRequest; readonly call: Call };

/** Fixed by the first request. */
type Opening = Pick<ActRequest, 'model' | 'selection' | 'clientId'> & {
  readonly newestWins: boolean;
  /** The version of all requests; undefined if each uses the newest version, or that of its handle. */
  readonly served: ServedVersion | undefined;
};

export function createActStreamHandler(deps: ActStreamDeps): StreamHandler<ActStreamRequest, ActStreamResponseInit> {
  return (sink) => new ActStreamSession(deps, sink);
}

class ActStreamSession implements StreamSession<ActStreamRequest> {
  readonly #deps: ActStreamDeps;
  readonly #sink: ResponseSink<ActStreamResponseInit>;
  readonly #answers: OrderedAnswers<ActStreamResponseInit>;
  #opening: Opening | undefined;
  /** Set when no more requests are accepted. */
  #ending: { readonly error?: unknown } | undefined;
  #isClosed = false;
  /** With newest-wins, the request that is answered next. */
  #newest: Received | undefined;
  #supersededCount = 0;

  constructor(deps: ActStreamDeps, sink: ResponseSink<ActStreamResponseInit>) {
    this.#deps = deps;
    this.#sink = sink;
    const countMax = deps.config.streamRequestCountMax;
    this.#answers = new OrderedAnswers({ sink, send: (response) => this.#send(response), countMax });
  }

  get pendingCount(): number {
    return this.#answers.pendingCount + (this.#newest === undefined ? 0 : 1);
  }

  receive({ act, follow, newestWins }: ActStreamRequest, call: Call): void {
    if (this.#isClosed || this.#ending !== undefined) return;
    if (act === undefined) {
      this.#end(invalidArgument({ where: 'ActStream', expected: 'a request in `act`', actual: 'none' }));
      return;
    }
    try {
      this.#opening ??= open(this.#deps.handles, act, { follow, newestWins, call });
    } catch (error) {
      this.#end(error);
      return;
    }
    const received = { request: act, call };
    if (this.#opening.newestWins) this.#supersede(received);
    else this.#answer(this.#opening, received);
  }

  finish(): void {
    this.#ending ??= {};
    this.#endWhenDone();
  }

  abandon(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#opening?.served?.release();
  }

  drain(): void {
    this.#end(draining('ActStream'));
  }

  /** Answers pending requests, then ends. */
  #end(error: unknown): void {
    this.#ending ??= { error };
    this.#endWhenDone();
  }

  #endWhenDone(): void {
    if (this.#ending === undefined || this.#isClosed || !this.#answers.isEmpty || this.#newest !== undefined) return;
    this.abandon();
    this.#sink.end(this.#ending.error);
  }

  #answer(opening: Opening, received: Received): void {
    let response: ActResponseInit | Promise<ActResponseInit>;
    try {
      const { request, call } = received;
      refuseChange(opening, request);
      const { model, selection, clientId } = opening;
      // The token may have lost the model since.
      checkModelAllowed('ActStream', call.caller, model);
      const { contextSource } = request;
      const asked = { model, selection, clientId, contextSource };
      const served = opening.served ?? this.#deps.handles.resolve('ActStream', asked, call);
      call.answeredBy = served;
      response = this.#deps.answer(served, request, call);
    } catch (error) {
      this.#settle(this.#refusal(error, received));
      return;
    }
    if (!(response instanceof Promise)) {
      this.#settle(answered(response, received));
      return;
    }
    const place = this.#answers.expect();
    response
      .then(
        (value) => this.#settle(answered(value, received), place),
        (error: unknown) => this.#settle(this.#refusal(error, received), place),
      )
      // The answer could not be written.
      .catch((error: unknown) => this.#sink.end(error));
  }

  #settle(response: ActStreamResponseInit, place?: Place<ActStreamResponseInit>): void {
    if (this.#isClosed) return;
    this.#answers.give(response, place);
    if (this.#answers.isEmpty) this.#answerNewest();
    this.#endWhenDone();
  }

  #refusal(error: unknown, { request, call }: Received): ActStreamResponseInit {
    const { name, text } = this.#deps.describe(error, call);
    call.end(name);
    return { result: { case: 'error', value: { status: name, text, sequence: request.sequence } } };
  }

  #send(response: ActStreamResponseInit): void {
    if (this.#supersededCount > 0) response.supersededCount = this.#supersededCount;
    this.#supersededCount = 0;
    this.#sink.send(response);
  }

  /** The newest request replaces the one that waits for its turn. */
  #supersede(received: Received): void {
    const { schedule = setImmediate } = this.#deps;
    if (this.#newest !== undefined) {
      this.#supersededCount++;
      this.#newest.call.end('CANCELLED');
    } else if (this.#answers.isEmpty) schedule(() => this.#answerNewest());
    this.#newest = received;
  }

  #answerNewest(): void {
    const received = this.#newest;
    this.#newest = undefined;
    if (received !== undefined && !this.#isClosed) this.#answer(this.#opening!, received);
    this.#endWhenDone();
  }
}

function answered(value: ActResponseInit, { call }: Received): ActStreamResponseInit {
  call.end('OK');
  return { result: { case: 'response', value } };
}

/** @throws HyperpolicyError if the first request's model cannot be served */
function open(
  handles: ContextHandles,
  first: ActRequest,
  { follow, newestWins, call }: { readonly follow: boolean; readonly newestWins: boolean; readonly call: Call },
): Opening {
  const served = handles.resolve('ActStream', first, call);
  const { selection, clientId } = first;
  // If the first request names no model, it is that of the handle.
  const model = first.model === '' ? served.model : first.model;
  if (!follow) served.hold();
  return { model, selection, clientId, newestWins, served: follow ? undefined : served };
}

/** @throws HyperpolicyError invalid_argument if a later request asks for another model or version than the first */
function refuseChange(first: Opening, request: ActRequest): void {
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
