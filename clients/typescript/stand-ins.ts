/**
 * What a client acts on when the server gives no answer: the last action that it got (`hold`), or the model's safe action (`safe`),
 * which it learns from GetModel while there is a server. Both are remembered for a bounded number of models and clients.
 */

import { create } from '@bufbuild/protobuf';
import { HyperpolicyError } from '../../src/contract/errors.ts';
import { LruMap } from '../../src/contract/lru-map.ts';
import { type GetModelResponse, type Timing, TimingSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { ActResult, FallbackReason } from './act.ts';
import type { ModelSelection } from './request.ts';
import { createSafeActions } from './safe-actions.ts';
import type { Tensor } from './tensor.ts';

/** For which request. */
export type InPlaceOf = {
  readonly selection: ModelSelection;
  /** Undefined where the server does not check it against the version that answers. */
  readonly fingerprint: string | undefined;
  readonly contextHandle: string | undefined;
  readonly clientId: string;
  /** Of the observation. */
  readonly rows: number;
  readonly columns: number;
  readonly sequence: bigint;
  readonly fallback: 'error' | 'safe' | 'hold' | undefined;
  /** Of an action that is held. */
  readonly ageMsMax: number;
};

export type StandIns = {
  /** Learns the safe action of a model, unless it is known; does not wait for it. */
  learn(selection: ModelSelection): void;
  /**
   * Learns from an answer which version answers, and keeps a copy of its action for a client that is named, unless the server held it.
   * @param tookMs its age: from the request on
   */
  keep(of: InPlaceOf, result: ActResult, tookMs: number): void;
  /** Undefined where there is nothing to act on: the request wants none, or neither action is known. */
  standIn(of: InPlaceOf, reason: FallbackReason): ActResult | undefined;
};

/** Clients of a version whose last answer is kept, and requests without a version. */
const countMax = 64;

type Held = {
  readonly of: InPlaceOf;
  readonly action: Tensor;
  readonly version: number;
  readonly weightAgeMs: number;
  readonly atMs: number;
};
type Answered = { readonly version: number; readonly actionSize: number };

/** Why the client answers in place of the server; undefined for errors that say something about the request. */
export function reasonOf(error: unknown): FallbackReason | undefined {
  if (!(error instanceof HyperpolicyError)) return undefined;
  if (error.kind === 'deadline_exceeded') return 'timeout';
  return error.kind === 'unavailable' ? 'unavailable' : undefined;
}

/** @param describe asks the server */
export function createStandIns(describe: (selection: ModelSelection) => Promise<GetModelResponse>): StandIns {
  /** By version and client: another version may have other actions. */
  const held = new LruMap<Held>();
  /** What answered last where the request leaves the version open. */
  const answered = new LruMap<Answered>();
  const safe = createSafeActions(describe);

  function holding(of: InPlaceOf, reason: FallbackReason): ActResult | undefined {
    const { version = answered.peek(keyOf(of))?.version } = of.selection;
    const last = held.peek(keyOf(of, version));
    if (last === undefined || last.of.rows !== of.rows || !fits(of, last.of)) return undefined;
    const ageMs = performance.now() - last.atMs;
    if (ageMs > of.ageMsMax) return undefined;
    return {
      ...bare(of, last.version, last.weightAgeMs + ageMs),
      action: copied(last.action),
      fallback: { kind: 'hold', reason, ageMs },
    };
  }

  function safely(of: InPlaceOf, reason: FallbackReason): ActResult | undefined {
    const { model } = of.selection;
    const last = answered.peek(keyOf(of));
    const known = (last && safe.find({ model, version: last.version })) ?? safe.find(of.selection);
    if (known === undefined || !fits(of, known)) return undefined;
    const { action } = known;
    // Of an earlier version than the one that answered last, with other specs.
    if (last !== undefined && last.actionSize !== action.length) return undefined;
    const values = Float32Array.from({ length: of.rows * action.length }, (_, i) => action[i % action.length]!);
    return {
      ...bare(of, known.version, Date.now() - known.publishedAtMs),
      action: { shape: [of.rows, action.length], values },
      fallback: { kind: 'safe', reason, ageMs: 0 },
    };
  }

  return {
    learn: safe.learn,
    keep(of, result, tookMs) {
      const { model, version: asked } = of.selection;
      const { version, action, weightAgeMs } = result;
      if (asked === undefined) put(answered, keyOf(of), { version, actionSize: action.shape[1]! });
      if (result.fallback === undefined && of.clientId !== '') {
        const atMs = performance.now() - tookMs;
        put(held, keyOf(of, version), { of, action: copied(action), version, weightAgeMs, atMs });
      }
      if (of.fallback === undefined || of.fallback === 'error' || asked === version) return;
      safe.learn({ model, version });
    },
    standIn(of, reason) {
      if (of.fallback === 'hold') return holding(of, reason) ?? safely(of, reason);
      return of.fallback === 'safe' ? safely(of, reason) : undefined;
    },
  };
}

function put<Value>(map: LruMap<Value>, key: string, value: Value): void {
  map.set(key, value);
  map.evict(() => map.size > countMax);
}

/**
 * Unambiguous: neither models nor labels hold a slash. A request without a model is of its handle's. No JSON: of each message of a stream
 * two are made.
 */
function keyOf({ selection, contextHandle, clientId }: InPlaceOf, version = selection.version): string {
  const { model, label = '' } = selection;
  const handle = model === '' ? (contextHandle ?? '') : '';
  return `${model}/${version ?? `=${label}`}/${clientId.length}/${clientId}${handle}`;
}

/** Whether an action may be for a request: two observations, or fingerprints, that differ are of other specs. */
const fits = (of: InPlaceOf, { columns, fingerprint }: Pick<InPlaceOf, 'columns' | 'fingerprint'>): boolean =>
  of.columns === columns && (!of.fingerprint || !fingerprint || of.fingerprint === fingerprint);

/** Callers may change what they get, such as to scale it in place. */
const copied = ({ shape, values }: Tensor): Tensor => ({ shape: [...shape], values: values.slice() });

/** The server had no part in it. */
const noTiming: Timing = create(TimingSchema);

const bare = ({ sequence }: InPlaceOf, version: number, weightAgeMs: number) => ({
  logProb: undefined,
  seed: undefined,
  version,
  weightAgeMs,
  sequence,
  timing: noTiming,
});
