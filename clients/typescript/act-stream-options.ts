/** What a stream and its requests may be given, and how long each may take. */

import { invalidArgument } from '../../src/contract/errors.ts';
import { timerMs } from '../../src/contract/timers.ts';
import { type ActOptions, actNames, budgetUsMax, checkBudget, checkHold } from './act.ts';
import type { Metadata } from './call-options.ts';
import { checkBoolean, checkFunction, checkMetadata, checkOptions, checkSignal, checkTime, shown } from './checks.ts';
import { commonFields } from './request.ts';

export type ActStreamEvent =
  /** The connection or the server is gone. What was pending has failed, or has its fallback; the next act opens the stream again. */
  | { readonly kind: 'lost'; readonly error: Error }
  /** The first answer since. */
  | { readonly kind: 'resumed'; readonly version: number; readonly lostMs: number }
  /** Nothing is answered any more. @see ActStream.error */
  | { readonly kind: 'ended'; readonly error: Error | undefined };

/** Of one request; where it is not given, the stream's holds. */
export type StreamedActCall = {
  /**
   * Time from `act` to its answer, milliseconds. Unless given: the budget and half of it more, at least 50 ms more; without a budget the
   * client's `timeoutMs`, or 1000 where it has none.
   */
  readonly timeoutMs?: number;
  /**
   * Oldest action that is returned, milliseconds: of a fresh one from `act` on, of a held one from the request that it answers. An older
   * one is replaced by the fallback (of `hold` by `safe`), or refused. Fresh ones: `timeoutMs`; held ones: no limit unless given.
   */
  readonly ageMsMax?: number;
  /** Gives the request up: it rejects with the signal's reason. Of a stream: ends it. */
  readonly signal?: AbortSignal;
};

export type ActStreamOptions = Pick<ActOptions, 'model' | 'version' | 'label' | 'fingerprint' | 'clientId'> &
  StreamedActCall & {
    /** Answer with the newest version at each time, instead of the one that the stream began with. */
    readonly follow?: boolean;
    /** Where several requests wait, answer only the newest; the others fail with `superseded`. */
    readonly newestWins?: boolean;
    /** Open again by itself after the connection or the server was lost, with the version it began with, unless it follows. */
    readonly resume?: boolean;
    /** Told when the stream is lost, resumed and ended. What it throws is an uncaught exception, and not the stream's. */
    readonly onEvent?: (event: ActStreamEvent) => void;
    /** Of the stream, beside the client's. */
    readonly metadata?: Metadata;
  };

/** One request of a stream; the model is the stream's. */
export type StreamedAct = Omit<ActOptions, 'model' | 'version' | 'label' | 'fingerprint' | 'clientId' | 'sequence'>;

const callNames = ['timeoutMs', 'ageMsMax', 'signal'] as const satisfies readonly (keyof StreamedActCall)[];
const streamNames = [
  'model',
  'version',
  'label',
  'fingerprint',
  'clientId',
  'follow',
  'newestWins',
  'resume',
  'onEvent',
  'metadata',
  ...callNames,
] as const satisfies readonly (keyof ActStreamOptions)[];

/** @throws HyperpolicyError invalid_argument naming the option */
export function checkStreamOptions(where: string, given: ActStreamOptions): void {
  checkOptions(where, given, streamNames);
  const { follow, newestWins, resume, onEvent, metadata } = given;
  commonFields(where, given);
  for (const [name, value] of Object.entries({ follow, newestWins, resume })) {
    if (value !== undefined) checkBoolean(`${where} ${name}`, value);
  }
  if (onEvent !== undefined) checkFunction(`${where} onEvent`, onEvent);
  if (metadata !== undefined) checkMetadata(`${where} metadata`, metadata);
  checkTimes(where, given);
}

const streamedNames = actNames.filter((name) => name !== 'sequence');
const fixedNames = ['model', 'version', 'label', 'fingerprint', 'clientId'] as const;

/** @throws HyperpolicyError invalid_argument naming the option */
export function checkStreamedAct(
  where: string,
  stream: ActStreamOptions,
  request: StreamedAct & Partial<ActStreamOptions>,
  call: StreamedActCall,
): void {
  checkOptions(where, request, streamedNames);
  checkOptions(`${where} options`, call, callNames);
  checkTimes(where, call);
  checkBudget(where, request.budgetUs);
  for (const name of fixedNames) {
    if (request[name] === undefined || request[name] === stream[name]) continue;
    throw invalidArgument({
      where: `${where} ${name}`,
      expected: `that of the stream, ${shown(stream[name])}, or none`,
      actual: shown(request[name]),
      remedy: 'Open a stream for each',
    });
  }
  checkHold(where, request.fallback, stream.clientId);
}

function checkTimes(where: string, { timeoutMs, ageMsMax, signal }: StreamedActCall): void {
  if (timeoutMs !== undefined) checkTime(`${where} timeoutMs`, timeoutMs);
  if (ageMsMax !== undefined) checkTime(`${where} ageMsMax`, ageMsMax);
  if (signal !== undefined) checkSignal(`${where} signal`, signal);
}

/** Of a request without a budget, where neither stream nor client say how long. */
const defaultTimeoutMs = 1000;
/** For the way of an answer that comes when its budget is over. */
const wayMs = 50;
/** How long before its timeout, whoever names that, a request without a budget is answered by the server's fallback. */
const marginMs = 10;

export type Times = {
  /** Until the request settles, milliseconds. */
  readonly waitMs: number;
  readonly ageMsMax: number;
  readonly budgetUs: number;
};

/** @param clientTimeoutMs what the client was made with; undefined where it was not told */
export function timesOf(
  stream: StreamedActCall,
  { budgetUs = 0, fallback = 'error' }: StreamedAct,
  call: StreamedActCall,
  clientTimeoutMs: number | undefined,
): Times {
  const ageMsMax = call.ageMsMax ?? stream.ageMsMax ?? Number.POSITIVE_INFINITY;
  const named = call.timeoutMs ?? stream.timeoutMs;
  const budgetMs = budgetUs / 1000;
  const ofBudget = Math.min(clientTimeoutMs ?? Number.POSITIVE_INFINITY, budgetMs + Math.max(wayMs, budgetMs / 2));
  const timeoutMs = named ?? (budgetUs > 0 ? ofBudget : (clientTimeoutMs ?? defaultTimeoutMs));
  const waitMs = timerMs(Math.min(timeoutMs, ageMsMax));
  // The server's own stand-in knows more than the client's: it comes first where there is a server.
  const derives = budgetUs === 0 && fallback !== 'error';
  const derivedUs = Math.min(budgetUsMax, Math.ceil((waitMs - Math.min(marginMs, waitMs / 2)) * 1000));
  return { waitMs, ageMsMax, budgetUs: derives ? derivedUs : budgetUs };
}
