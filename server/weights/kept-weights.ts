/**
 * Generated weights by key, in a budget of bytes: those used longest ago go first. Pinned ones neither go nor expire; at most half of
 * the budget may be pinned. Weights larger than the whole budget are not kept.
 */

import { resourceExhausted } from '../../src/contract/errors.ts';
import type { BlockArena } from './block-arena.ts';
import { type GeneratedWeights, withOwnBlock } from './generated-weights.ts';

export type CacheCounts = {
  hitCount: number;
  missCount: number;
  evictionCount: number;
};

export type KeptWeightsOptions = {
  /** 0 keeps nothing. */
  readonly bytesMax: number;
  /** Whose blocks entries may have: they go back to it when they are dropped. */
  readonly arena?: BlockArena | undefined;
  /** How long an entry is used after it was made, milliseconds; 0 is for ever. */
  readonly timeToLiveMs?: number;
  /** Milliseconds, not going backwards; `performance.now` unless a test has its own. */
  readonly clock?: () => number;
};

type Entry = { readonly weights: GeneratedWeights; readonly expiresAtMs: number };

export class KeptWeights {
  readonly counts: Readonly<CacheCounts> & CacheCounts = { hitCount: 0, missCount: 0, evictionCount: 0 };
  /** Lends blocks to entries. Undefined where entries have memory of their own. */
  readonly arena: BlockArena | undefined;
  readonly #bytesMax: number;
  readonly #timeToLiveMs: number;
  readonly #clock: () => number;
  /** A Map iterates in order of insertion: the first entry is the one used longest ago. */
  readonly #entries = new Map<string, Entry>();
  readonly #pinned = new Map<string, GeneratedWeights>();
  #entryBytes = 0;
  #pinnedBytes = 0;
  /** The key used last, which is in its place already. */
  #newest: string | undefined;

  constructor({ bytesMax, arena, timeToLiveMs = 0, clock = () => performance.now() }: KeptWeightsOptions) {
    this.arena = arena;
    this.#bytesMax = bytesMax;
    this.#timeToLiveMs = timeToLiveMs;
    this.#clock = clock;
  }

  /** Pinned ones included, likewise below. */
  get bytes(): number {
    return this.#entryBytes + this.#pinnedBytes;
  }

  get entryCount(): number {
    return this.#entries.size + this.#pinned.size;
  }

  /** The weights of a key, which then are those used most recently; counted as a hit or a miss. */
  get(key: string): GeneratedWeights | undefined {
    const weights = this.#find(key);
    if (weights === undefined) this.counts.missCount++;
    else this.counts.hitCount++;
    return weights;
  }

  /** Keeps the weights of each key. */
  insert(keys: readonly string[], weights: readonly GeneratedWeights[]): void {
    const expiresAtMs = this.#timeToLiveMs === 0 ? Number.POSITIVE_INFINITY : this.#clock() + this.#timeToLiveMs;
    keys.forEach((key, i) => {
      const own = weights[i]!;
      if (own.bytes > this.#bytesMax || this.#pinned.has(key)) {
        this.#giveBack(own);
        return;
      }
      this.#drop(key);
      this.#entries.set(key, { weights: own, expiresAtMs });
      this.#newest = key;
      this.#entryBytes += own.bytes;
    });
    this.#evict();
  }

  /**
   * Keeps these whatever comes.
   * @throws HyperpolicyError resource_exhausted, and nothing is pinned, where more than half of the budget would be
   */
  pin(keys: readonly string[], weights: readonly GeneratedWeights[]): void {
    this.#refuseTooMany(keys, weights);
    keys.forEach((key, i) => {
      if (this.#pinned.has(key)) return;
      const own = weights[i]!;
      const isKept = this.#entries.get(key)?.weights === own;
      if (isKept) this.#remove(key);
      else this.#drop(key);
      // Weights that were dropped meanwhile have given their block back.
      this.#pinned.set(key, isKept ? own : withOwnBlock(own));
      this.#pinnedBytes += own.bytes;
    });
    this.#evict();
  }

  /** Makes these ordinary entries again. */
  unpin(keys: readonly string[]): void {
    for (const key of keys) {
      const weights = this.#unpinOne(key);
      if (weights !== undefined) this.insert([key], [weights]);
    }
  }

  /** Keys of a version, those used last, in order of use and pinned ones behind: at most so many, and of half of the budget. */
  newestKeys(prefix: string, countMax: number): readonly string[] {
    const keys = [...this.#entries.keys(), ...this.#pinned.keys()].filter((key) => key.startsWith(prefix));
    let from = keys.length;
    for (let sum = 0; from > 0 && keys.length - from < countMax; from--) {
      const key = keys[from - 1]!;
      sum += (this.#entries.get(key)?.weights ?? this.#pinned.get(key)!).bytes;
      if (sum > this.#bytesMax / 2) break;
    }
    return keys.slice(from);
  }

  /** Drops every entry of a version. */
  dropVersion(prefix: string): void {
    for (const key of this.#entries.keys()) if (key.startsWith(prefix)) this.#drop(key);
    for (const key of this.#pinned.keys()) if (key.startsWith(prefix)) this.#giveBack(this.#unpinOne(key)!);
    this.arena?.trim();
  }

  #find(key: string): GeneratedWeights | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return this.#pinned.size === 0 ? undefined : this.#pinned.get(key);
    if (entry.expiresAtMs !== Number.POSITIVE_INFINITY && entry.expiresAtMs <= this.#clock()) {
      this.#drop(key);
      return undefined;
    }
    if (key !== this.#newest) {
      this.#entries.delete(key);
      this.#entries.set(key, entry);
      this.#newest = key;
    }
    return entry.weights;
  }

  #refuseTooMany(keys: readonly string[], weights: readonly GeneratedWeights[]): void {
    const added = keys.reduce((sum, key, i) => sum + (this.#pinned.has(key) ? 0 : weights[i]!.bytes), 0);
    const wanted = this.#pinnedBytes + added;
    if (wanted <= this.#bytesMax / 2) return;
    throw resourceExhausted({
      where: 'pinned weights',
      expected: `at most ${Math.floor(this.#bytesMax / 2)} bytes, half of the cache`,
      actual: `${wanted}`,
      remedy: 'Unpin others, or make the cache larger',
    });
  }

  #unpinOne(key: string): GeneratedWeights | undefined {
    const weights = this.#pinned.get(key);
    if (weights === undefined) return undefined;
    this.#pinned.delete(key);
    this.#pinnedBytes -= weights.bytes;
    return weights;
  }

  #evict(): void {
    for (const key of this.#entries.keys()) {
      if (this.bytes <= this.#bytesMax) return;
      this.#drop(key);
      this.counts.evictionCount++;
    }
  }

  #drop(key: string): void {
    const weights = this.#remove(key);
    if (weights !== undefined) this.#giveBack(weights);
  }

  #remove(key: string): GeneratedWeights | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entryBytes -= entry.weights.bytes;
    return entry.weights;
  }

  #giveBack({ lent }: GeneratedWeights): void {
    if (lent !== undefined) this.arena?.giveBack(lent);
  }
}
