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

/** For which request. */
export type InPlaceOf = {
  readonly selection: ModelSelection;
  readonly clientId: string;
  readonly rows: number;
  readonly sequence: bigint;
  readonly fallback: 'error' | 'safe' | 'hold' | undefined;
  /** Of an action that is held. */
  readonly ageMsMax: number;
};

export type StandIns = {
  /** Learns the safe action of a model, unless it is known; does not wait for it. */
  learn(selection: ModelSelection): void;
  /** Keeps an answer, to hold it. @param tookMs its age: from the request on */
  keep(of: InPlaceOf, result: ActResult, tookMs: number): void;
  /** Undefined where there is nothing to act on: the request wants none, or neither action is known. */
  standIn(of: InPlaceOf, reason: FallbackReason): ActResult | undefined;
};

/** Clients of a model whose last answer is kept. */
const countMax = 64;

type Held = { readonly result: ActResult; readonly rows: number; readonly atMs: number };

/** Why the client answers in place of the server; undefined for errors that say something about the request. */
export function reasonOf(error: unknown): FallbackReason | undefined {
  if (!(error instanceof HyperpolicyError)) return undefined;
  if (error.kind === 'deadline_exceeded') return 'timeout';
  return error.kind === 'unavailable' ? 'unavailable' : undefined;
}

/** @param describe asks the server */
export function createStandIns(describe: (selection: ModelSelection) => Promise<GetModelResponse>): StandIns {
  const held = new LruMap<Held>();
  const safe = createSafeActions(describe);
  const whose = ({ selection, clientId }: InPlaceOf) => `${selection.model.length} ${selection.model}${clientId}`;

  function holding(of: InPlaceOf, reason: FallbackReason): ActResult | undefined {
    const last = held.peek(whose(of));
    if (last === undefined || last.rows !== of.rows) return undefined;
    const ageMs = performance.now() - last.atMs;
    if (ageMs > of.ageMsMax) return undefined;
    const { action, version, weightAgeMs } = last.result;
    return {
      ...bare(of, version, weightAgeMs + ageMs),
      action: { shape: action.shape, values: action.values.slice() },
      fallback: { kind: 'hold', reason, ageMs },
    };
  }

  function safely(of: InPlaceOf, reason: FallbackReason): ActResult | undefined {
    const { model } = of.selection;
    const version = held.peek(whose(of))?.result.version;
    const known = (version !== undefined && safe.find({ model, version })) || safe.find(of.selection);
    if (known === undefined) return undefined;
    const { action } = known;
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
      held.set(whose(of), { result, rows: of.rows, atMs: performance.now() - tookMs });
      held.evict(() => held.size > countMax);
      const { model, version } = of.selection;
      if (of.fallback === undefined || of.fallback === 'error' || version === result.version) return;
      safe.learn({ model, version: result.version });
    },
    standIn(of, reason) {
      if (of.fallback === 'hold') return holding(of, reason) ?? safely(of, reason);
      return of.fallback === 'safe' ? safely(of, reason) : undefined;
    },
  };
}

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
