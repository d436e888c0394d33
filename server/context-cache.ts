/**
 * Generated weights by (version, context): a least-recently-used map bounded in bytes, with one generation in flight per key.
 *
 * Failure rule: a generation that fails fails everyone who waits for it, and leaves nothing behind.
 * An entry that is larger than the whole budget is handed out and not kept.
 */

import type { Deadline } from './batcher.ts';
import type { GeneratedWeights } from './generated-weights.ts';

export type CacheCounts = {
  hitCount: number;
  missCount: number;
  evictionCount: number;
};

/** A generation that is under way. */
export type Generation = {
  readonly weights: Promise<GeneratedWeights>;
  /** Of the run; those who wait for it put it off to their own. */
  readonly deadline: Deadline;
};

export type ContextCache = {
  /** The weights of a key, now used most recently; undefined where they must be generated. */
  get(key: string): GeneratedWeights | undefined;
  /** The generation of a key that is under way. */
  inFlight(key: string): Generation | undefined;
  /** Keeps what was generated for each key. */
  insert(keys: readonly string[], weights: readonly GeneratedWeights[]): void;
  /** Announces one generation of several keys, and inserts its result; others who miss them wait for it. */
  fill(keys: readonly string[], generation: Promise<readonly GeneratedWeights[]>, deadline: Deadline): void;
  /** Drops every entry of a version. */
  dropVersion(prefix: string): void;
  readonly counts: Readonly<CacheCounts>;
  readonly bytes: number;
  readonly entryCount: number;
  readonly inFlightCount: number;
};

/** @param bytesMax 0 keeps nothing */
export function createContextCache({ bytesMax }: { readonly bytesMax: number }): ContextCache {
  // A Map iterates in order of insertion: the first entry is the one used longest ago.
  const entries = new Map<string, GeneratedWeights>();
  const generations = new Map<string, Generation>();
  const counts: CacheCounts = { hitCount: 0, missCount: 0, evictionCount: 0 };
  let bytes = 0;

  function drop(key: string, entry: GeneratedWeights): void {
    entries.delete(key);
    bytes -= entry.bytes;
  }

  function insert(keys: readonly string[], weights: readonly GeneratedWeights[]): void {
    keys.forEach((key, i) => {
      const entry = weights[i]!;
      if (entry.bytes > bytesMax) return;
      const former = entries.get(key);
      if (former !== undefined) drop(key, former);
      entries.set(key, entry);
      bytes += entry.bytes;
    });
    for (const [key, entry] of entries) {
      if (bytes <= bytesMax) break;
      drop(key, entry);
      counts.evictionCount++;
    }
  }

  return {
    get(key) {
      const entry = entries.get(key);
      if (entry === undefined) {
        counts.missCount++;
        return undefined;
      }
      counts.hitCount++;
      entries.delete(key);
      entries.set(key, entry);
      return entry;
    },
    inFlight: (key) => generations.get(key),
    insert,
    fill(keys, generation, deadline) {
      const settled = generation.then(
        (weights) => {
          for (const key of keys) generations.delete(key);
          insert(keys, weights);
          return weights;
        },
        (error: unknown) => {
          for (const key of keys) generations.delete(key);
          throw error;
        },
      );
      keys.forEach((key, i) => {
        const one = settled.then((weights) => weights[i]!);
        // Whoever waits sees the error; nobody waiting is no unhandled rejection.
        one.catch(() => {});
        generations.set(key, { weights: one, deadline });
      });
    },
    dropVersion(prefix) {
      for (const [key, entry] of entries) if (key.startsWith(prefix)) drop(key, entry);
    },
    counts,
    get bytes() {
      return bytes;
    },
    get entryCount() {
      return entries.size;
    },
    get inFlightCount() {
      return generations.size;
    },
  };
}
