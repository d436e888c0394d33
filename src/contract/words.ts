/** The words for the choices that a request has, and their numbers on the wire: the same for server and clients. */

import { Fallback, Pinning, Reduction } from '../gen/hyperpolicy/v1/policy_service_pb.ts';

export const fallbacks = { error: Fallback.ERROR, safe: Fallback.SAFE, hold: Fallback.HOLD } as const;
export const reductions = { q1: Reduction.Q1, min: Reduction.MIN, mean: Reduction.MEAN } as const;
export const pinnings = { pin: Pinning.PIN, unpin: Pinning.UNPIN } as const;

export type FallbackName = keyof typeof fallbacks;
export type ReductionName = keyof typeof reductions;

/** The same the other way round. */
export const byNumber = <Word extends string>(words: Readonly<Record<Word, number>>): Readonly<Record<number, Word>> =>
  Object.fromEntries(Object.entries<number>(words).map(([word, value]) => [value, word as Word]));
