/**
 * Generated weights by (version, context): a least-recently-used map bounded in bytes, with one generation in flight per key.
 *
 * Failure rule: a generation that fails fails everyone who waits for it, and leaves nothing behind.
 * An entry that is larger than the whole budget is handed out and not kept. Pinned entries neither go nor expire; at most half of the
 * budget may be pinned.
 */

import { resourceExhausted } from '../../src/contract/errors.ts';
import type { Deadline } from '../compute/batcher.ts';
import type { BlockArena } from './block-arena.ts';
import { type GeneratedWeights, withOwnBlock } from './generated-weights.ts';

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
  /**
   * Keeps these whatever comes.
   * @throws HyperpolicyError resource_exhausted, and nothing is pinned, where more than half of the budget would be
   */
  pin(keys: readonly string[], weights: readonly GeneratedWeights[]): void;
  /** Makes these ordinary entries again. */
  unpin(keys: readonly string[]): void;
  /** Keys of a version, those used last, in order of use and pinned ones behind: at most so many, and of half of the budget. */
  newestKeys(prefix: string, countMax: number): readonly string[];
  /** Drops every entry of a version. */
  dropVersion(prefix: string): void;
  /** Lends blocks to entries; what the cache drops it gives back. Undefined where entries have memory of their own. */
  readonly arena: BlockArena | undefined;
  readonly counts: Readonly<CacheCounts>;
  /** Pinned ones included, likewise below. */
  readonly bytes: number;
  readonly entryCount: number;
  readonly inFlightCount: number;
};

export type ContextCacheOptions = {
  /** 0 keeps nothing. */
  readonly bytesMax: number;
  /** Whose blocks entries may have: whoever reads entries over several turns is then a reader of the arena. */
  readonly arena?: BlockArena | undefined;
  /** How long an entry is used after it was made, milliseconds; 0 is for ever. */
  readonly timeToLiveMs?: number;
  /** Milliseconds, not going backwards; `performance.now` unless a test has its own. */
  readonly clock?: () => number;
};

/** Of one key: its place in what is being made. */
type Announced = {
  readonly made: Promise<readonly GeneratedWeights[]>;
  readonly at: number;
  readonly deadline: Deadline;
};

type Entry = { readonly weights: GeneratedWeights; readonly expiresAtMs: number };

export function createContextCache({
  bytesMax,
  arena,
  timeToLiveMs = 0,
  clock = () => performance.now(),
}: ContextCacheOptions): ContextCache {
  // A Map iterates in order of insertion: the first entry is the one used longest ago.
  const entries = new Map<string, Entry>();
  const pinned = new Map<string, GeneratedWeights>();
  const generations = new Map<string, Announced>();
  const counts: CacheCounts = { hitCount: 0, missCount: 0, evictionCount: 0 };
  let bytes = 0;
  let pinnedBytes = 0;
  /** Used last, so in its place already. */
  let newest: string | undefined;

  function remove(key: string, entry: Entry): void {
    entries.delete(key);
    bytes -= entry.weights.bytes;
  }

  function giveBack({ lent }: GeneratedWeights): void {
    if (lent !== undefined) arena?.giveBack(lent);
  }

  function drop(key: string, entry: Entry): void {
    remove(key, entry);
    giveBack(entry.weights);
  }

  function evict(): void {
    for (const [key, entry] of entries) {
      if (bytes + pinnedBytes <= bytesMax) return;
      drop(key, entry);
      counts.evictionCount++;
    }
  }

  function insert(keys: readonly string[], weights: readonly GeneratedWeights[]): void {
    const expiresAtMs = timeToLiveMs === 0 ? Number.POSITIVE_INFINITY : clock() + timeToLiveMs;
    keys.forEach((key, i) => {
      const own = weights[i]!;
      if (own.bytes > bytesMax || pinned.has(key)) {
        giveBack(own);
        return;
      }
      const former = entries.get(key);
      if (former !== undefined) drop(key, former);
      entries.set(key, { weights: own, expiresAtMs });
      newest = key;
      bytes += own.bytes;
    });
    evict();
  }

  function find(key: string): GeneratedWeights | undefined {
    const entry = entries.get(key);
    if (entry === undefined) return pinned.size === 0 ? undefined : pinned.get(key);
    if (entry.expiresAtMs !== Number.POSITIVE_INFINITY && entry.expiresAtMs <= clock()) {
      drop(key, entry);
      return undefined;
    }
    if (key !== newest) {
      entries.delete(key);
      entries.set(key, entry);
      newest = key;
    }
    return entry.weights;
  }

  return {
    get(key) {
      const weights = find(key);
      if (weights === undefined) counts.missCount++;
      else counts.hitCount++;
      return weights;
    },
    inFlight(key) {
      const announced = generations.get(key);
      if (announced === undefined) return undefined;
      const { made, at, deadline } = announced;
      const weights = made.then((all) => all[at]!);
      // Who fails for another reason first never looks at it.
      weights.catch(() => {});
      return { weights, deadline };
    },
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
      // Whoever waits sees the error; nobody waiting is no unhandled rejection.
      settled.catch(() => {});
      keys.forEach((key, at) => {
        generations.set(key, { made: settled, at, deadline });
      });
    },
    pin(keys, weights) {
      const wanted = keys.reduce((sum, key, i) => sum + (pinned.has(key) ? 0 : weights[i]!.bytes), pinnedBytes);
      if (wanted > bytesMax / 2) {
        throw resourceExhausted({
          where: 'pinned weights',
          expected: `at most ${Math.floor(bytesMax / 2)} bytes, half of the cache`,
          actual: `${wanted}`,
          remedy: 'Unpin others, or make the cache larger',
        });
      }
      keys.forEach((key, i) => {
        if (pinned.has(key)) return;
        const own = weights[i]!;
        const entry = entries.get(key);
        if (entry?.weights === own) remove(key, entry);
        else if (entry !== undefined) drop(key, entry);
        // What was dropped in the meantime has given its block back.
        pinned.set(key, entry?.weights === own ? own : withOwnBlock(own));
        pinnedBytes += own.bytes;
      });
      evict();
    },
    unpin(keys) {
      for (const key of keys) {
        const weights = pinned.get(key);
        if (weights === undefined) continue;
        pinned.delete(key);
        pinnedBytes -= weights.bytes;
        insert([key], [weights]);
      }
    },
    newestKeys(prefix, countMax) {
      const known: string[] = [];
      for (const key of entries.keys()) if (key.startsWith(prefix)) known.push(key);
      for (const key of pinned.keys()) if (key.startsWith(prefix)) known.push(key);
      let from = known.length;
      for (let sum = 0; from > 0 && known.length - from < countMax; from--) {
        const key = known[from - 1]!;
        sum += (entries.get(key)?.weights ?? pinned.get(key)!).bytes;
        if (sum > bytesMax / 2) break;
      }
      return known.slice(from);
    },
    dropVersion(prefix) {
      for (const [key, entry] of entries) if (key.startsWith(prefix)) drop(key, entry);
      for (const [key, weights] of pinned) {
        if (!key.startsWith(prefix)) continue;
        pinned.delete(key);
        pinnedBytes -= weights.bytes;
        giveBack(weights);
      }
      arena?.trim();
    },
    arena,
    counts,
    get bytes() {
      return bytes + pinnedBytes;
    },
    get entryCount() {
      return entries.size + pinned.size;
    },
    get inFlightCount() {
      return generations.size;
    },
  };
}
