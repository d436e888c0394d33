/**
 * Generated weights by key, within a budget of bytes: the least recently used are evicted first. Pinned weights are neither evicted nor
 * expire; at most half of the budget may be pinned. Weights larger than the whole budget are not kept.
 */

import { resourceExhausted } from '../../src/contract/errors.ts';
import { LruMap } from '../../src/contract/lru-map.ts';
import type { BlockArena } from '../../src/memory/block-arena.ts';
import { type GeneratedWeights, type WeightBatch, withOwnBlock } from './generated-weights.ts';

/** How often weights were there, and were not. */
export type LookupCounts = { hitCount: number; missCount: number };
export type CacheCounts = LookupCounts & { evictionCount: number };

export type KeptWeightsOptions = {
  /** 0 keeps nothing. */
  readonly bytesMax: number;
  /** Gets the blocks of dropped entries back. */
  readonly arena?: BlockArena | undefined;
  /** How long an entry is valid, milliseconds; 0 means for ever. */
  readonly timeToLiveMs?: number;
  /** Monotonic milliseconds; `performance.now` unless a test has its own. */
  readonly clock?: () => number;
};

type Entry = { readonly weights: GeneratedWeights; readonly expiresAtMs: number };

export class KeptWeights {
  readonly counts: CacheCounts = { hitCount: 0, missCount: 0, evictionCount: 0 };
  /** Undefined if entries use ordinary memory. */
  readonly arena: BlockArena | undefined;
  readonly #bytesMax: number;
  readonly #timeToLiveMs: number;
  readonly #clock: () => number;
  readonly #entries = new LruMap<Entry>(({ weights }) => weights.bytes);
  readonly #pinned = new LruMap<GeneratedWeights>(({ bytes }) => bytes);
  /** Keys that will be pinned when their weights are made. */
  readonly #pending = new Set<Set<string>>();

  constructor({ bytesMax, arena, timeToLiveMs = 0, clock = () => performance.now() }: KeptWeightsOptions) {
    this.arena = arena;
    this.#bytesMax = bytesMax;
    this.#timeToLiveMs = timeToLiveMs;
    this.#clock = clock;
  }

  /** Includes pinned entries, as does `entryCount`. */
  get bytes(): number {
    return this.#entries.bytes + this.#pinned.bytes;
  }

  get pinnedBytes(): number {
    return this.#pinned.bytes;
  }

  get entryCount(): number {
    return this.#entries.size + this.#pinned.size;
  }

  /**
   * The weights of a key, which become the most recently used. Counts a hit or a miss.
   * @param counts has it too, beside the cache's own
   */
  get(key: string, counts?: LookupCounts): GeneratedWeights | undefined {
    const weights = this.#find(key);
    const name = weights === undefined ? 'missCount' : 'hitCount';
    this.counts[name]++;
    if (counts !== undefined) counts[name]++;
    return weights;
  }

  insert(keys: readonly string[], weights: readonly GeneratedWeights[]): void {
    const expiresAtMs = this.#timeToLiveMs === 0 ? Number.POSITIVE_INFINITY : this.#clock() + this.#timeToLiveMs;
    keys.forEach((key, i) => {
      const own = weights[i]!;
      const pinned = this.#pinned.peek(key);
      if (pinned !== undefined || own.bytes > this.#bytesMax) {
        if (own !== pinned) this.#giveBack(own);
        return;
      }
      this.#removeUnless(key, own);
      this.#entries.set(key, { weights: own, expiresAtMs });
    });
    this.#evict();
  }

  /**
   * Keeps these until they are unpinned.
   * @throws HyperpolicyError resource_exhausted if more than half of the budget would be pinned; nothing is pinned then
   */
  pin(keys: readonly string[], weights: readonly GeneratedWeights[]): void {
    const added = new Map(keys.map((key, i) => [key, weights[i]!]));
    for (const key of keys) if (this.#pinned.peek(key) !== undefined) added.delete(key);
    const wanted = [...added.values()].reduce((sum, { bytes }) => sum + bytes, this.#pinned.bytes);
    if (wanted > this.#bytesMax / 2) throw tooManyPinned(wanted, this.#bytesMax / 2);
    for (const [key, own] of added) {
      // The block of weights that were dropped meanwhile belongs to the arena again: copy it.
      this.#pinned.set(key, this.#removeUnless(key, own) ? own : withOwnBlock(own));
    }
    this.#evict();
  }

  /**
   * Pins what `make` resolves to, the weights of each key in order; not those that are unpinned before.
   * @throws HyperpolicyError as pin; whatever `make` throws, and nothing is pinned
   */
  async pinWhenMade(keys: readonly string[], make: () => Promise<WeightBatch>): Promise<void> {
    const wanted = new Set(keys);
    this.#pending.add(wanted);
    try {
      const { entries } = await make();
      const places = [...keys.keys()].filter((place) => wanted.has(keys[place]!));
      this.pin(
        places.map((place) => keys[place]!),
        places.map((place) => entries[place]!),
      );
    } finally {
      this.#pending.delete(wanted);
    }
  }

  /** Makes these ordinary entries again. */
  unpin(keys: readonly string[]): void {
    for (const key of keys) {
      for (const wanted of this.#pending) wanted.delete(key);
      const weights = this.#pinned.delete(key);
      if (weights !== undefined) this.insert([key], [weights]);
    }
  }

  /** The most recently used keys of a version, the pinned ones last: at most `countMax`, and at most half of the budget. */
  newestKeys(prefix: string, countMax: number): readonly string[] {
    const entries = [...this.#entries].map(([key, { weights }]) => [key, weights] as const);
    const found = [...entries, ...this.#pinned].filter(([key]) => key.startsWith(prefix));
    let from = found.length;
    for (let sum = 0; from > 0 && found.length - from < countMax; from--) {
      sum += found[from - 1]![1].bytes;
      if (sum > this.#bytesMax / 2) break;
    }
    return found.slice(from).map(([key]) => key);
  }

  dropVersion(prefix: string): void {
    for (const [key] of this.#entries) if (key.startsWith(prefix)) this.#drop(key);
    for (const [key] of this.#pinned) if (key.startsWith(prefix)) this.#giveBack(this.#pinned.delete(key));
    this.arena?.trim();
  }

  #find(key: string): GeneratedWeights | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return this.#pinned.size === 0 ? undefined : this.#pinned.peek(key);
    if (entry.expiresAtMs === Number.POSITIVE_INFINITY || entry.expiresAtMs > this.#clock()) return entry.weights;
    this.#drop(key);
    return undefined;
  }

  #evict(): void {
    this.#entries.evict(
      () => this.bytes > this.#bytesMax,
      ({ weights }) => {
        this.#giveBack(weights);
        this.counts.evictionCount++;
      },
    );
  }

  #drop(key: string): void {
    this.#giveBack(this.#entries.delete(key)?.weights);
  }

  /** Removes an entry. Its block goes back to the arena, unless the entry has these very weights. @returns whether it has */
  #removeUnless(key: string, weights: GeneratedWeights): boolean {
    const former = this.#entries.delete(key)?.weights;
    if (former !== weights) this.#giveBack(former);
    return former === weights;
  }

  #giveBack(weights: GeneratedWeights | undefined): void {
    if (weights?.lent !== undefined) this.arena?.giveBack(weights.lent);
  }
}

const tooManyPinned = (bytes: number, bytesMax: number) =>
  resourceExhausted({
    where: 'pinned weights',
    expected: `at most ${Math.floor(bytesMax)} bytes, half of the cache`,
    actual: `${bytes}`,
    remedy: 'Unpin others, or make the cache larger',
  });
