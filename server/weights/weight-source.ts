/** The weights for the contexts of a request: from the cache, or from one run of the primary for those that are missing. */

import type { BlockArena } from '../../src/memory/block-arena.ts';
import { floatTensor } from '../../src/onnx/session.ts';
import { type Demand, standing } from '../call/rpc.ts';
import { distinctRows, type Rows } from '../call/tensors.ts';
import { type Deadline, deadlineFor } from '../compute/batcher.ts';
import type { HeavyGraph } from '../compute/compute-pool.ts';
import type { ContextCache, Entries, Request } from './context-cache.ts';
import { collectWeights, type WeightBatch, type WeightLayout } from './generated-weights.ts';
import type { LookupCounts } from './kept-weights.ts';

export type WeightSourceOptions = {
  readonly primary: HeavyGraph;
  readonly layout: WeightLayout;
  /** The primary's input, [K, inputSize]. */
  readonly inputName: string;
  readonly inputSize: number;
  readonly cache: ContextCache;
  /** Unique to the version. */
  readonly keyPrefix: string;
};

/** The contexts of some rows, with those weights that are kept. */
export type LookUp = {
  /** Of each distinct context. */
  readonly keys: readonly string[];
  readonly entries: Entries;
  readonly values: Float32Array; // [K, inputSize]
  /** Row -> context, [B]; undefined if all rows have the first. */
  readonly index: Int32Array | undefined;
};

export class WeightSource {
  readonly layout: WeightLayout;
  readonly inputName: string;
  /** How often requests found weights in the cache, and did not. */
  readonly counts: LookupCounts = { hitCount: 0, missCount: 0 };
  readonly #options: WeightSourceOptions;

  constructor(options: WeightSourceOptions) {
    this.layout = options.layout;
    this.inputName = options.inputName;
    this.#options = options;
  }

  /**
   * The weights for these rows of contexts; a promise if some must be generated. To read a critic's weights over several turns of the
   * event loop, take a lease of the version in the turn of this call: without it their memory may be reused.
   * @param demand nothing is generated if it is late or gone before the run begins
   */
  weightsFor(rows: Rows, demand: Demand): WeightBatch | Promise<WeightBatch> {
    return this.complete(this.lookUp(rows), demand);
  }

  /** What is kept for these rows, counted. */
  lookUp(rows: Rows): LookUp {
    const { keys: ownKeys, values, index } = distinctRows(rows, this.#options.inputSize);
    const keys = this.#fullKeys(ownKeys);
    return { keys, values, index, entries: this.#options.cache.lookUp(keys, this.counts) };
  }

  /** As weightsFor, of what was looked up in this turn. */
  complete({ keys, entries, values, index }: LookUp, demand: Demand): WeightBatch | Promise<WeightBatch> {
    const batch = this.#options.cache.complete(keys, entries, this.#request(values, demand));
    return batch instanceof Promise ? batch.then((made) => ({ ...made, index })) : { entries: batch.entries, index };
  }

  /** The number of distinct contexts in these rows. */
  countOf(rows: Rows): number {
    return distinctRows(rows, this.#options.inputSize).keys.length;
  }

  /** As KeptWeights.pinWhenMade. */
  pinWhenMade(rows: Rows, make: () => Promise<WeightBatch>): Promise<void> {
    return this.#options.cache.kept.pinWhenMade(this.#keysOf(rows), make);
  }

  unpin(rows: Rows): void {
    this.#options.cache.kept.unpin(this.#keysOf(rows));
  }

  /** Cached contexts of this version, as `KeptWeights.newestKeys`, without the version's prefix. */
  knownKeys(countMax: number): readonly string[] {
    const { cache, keyPrefix } = this.#options;
    return cache.kept.newestKeys(keyPrefix, countMax).map((key) => key.slice(keyPrefix.length));
  }

  /**
   * Generates the weights of contexts before they are requested.
   * @param keys as `knownKeys` returns them
   * @throws whatever the run of the primary throws
   */
  prefetch(keys: readonly string[]): Promise<void> {
    const values = new Float32Array(keys.length * this.#options.inputSize);
    new Uint8Array(values.buffer).set(Buffer.from(keys.join(''), 'latin1'));
    return this.#options.cache.prefetch(this.#fullKeys(keys), this.#request(values, standing));
  }

  /** The weights for these rows without the cache, for probes. */
  async generate(rows: Rows): Promise<WeightBatch> {
    const { keys, values, index } = distinctRows(rows, this.#options.inputSize);
    return { entries: await this.#runPrimary(values, keys.length, deadlineFor(standing)), index };
  }

  /** Generates weights as requests do, has them used, and keeps nothing: to see how long that takes. */
  async borrow(rows: Rows, use: (weights: WeightBatch) => unknown): Promise<void> {
    const { values, keys, index } = distinctRows(rows, this.#options.inputSize);
    const { arena } = this.#options.cache.kept;
    const entries = await this.#runPrimary(values, keys.length, deadlineFor(standing), arena);
    try {
      await use({ entries, index });
    } finally {
      for (const { lent } of entries) if (lent !== undefined) arena?.giveBack(lent);
    }
  }

  #keysOf(rows: Rows): readonly string[] {
    return this.#fullKeys(distinctRows(rows, this.#options.inputSize).keys);
  }

  #fullKeys(keys: readonly string[]): readonly string[] {
    return keys.map((key) => this.#options.keyPrefix + key);
  }

  #request(values: Float32Array, demand: Demand): Request {
    const { inputSize, cache } = this.#options;
    const generate = (places: readonly number[], deadline: Deadline) =>
      this.#runPrimary(pickRows(values, places, inputSize), places.length, deadline, cache.kept.arena);
    return { generate, demand };
  }

  async #runPrimary(values: Float32Array, count: number, deadline: Deadline, arena?: BlockArena) {
    const { primary, inputSize } = this.#options;
    const made = collectWeights(this.layout, count, arena);
    const feeds = { [this.inputName]: floatTensor(values, [count, inputSize]) };
    try {
      await primary.runInto({ feeds, rowCount: count, deadline }, made);
    } catch (error) {
      made.discard();
      throw error;
    }
    return made.entries;
  }
}

function pickRows(values: Float32Array, rows: readonly number[], size: number): Float32Array {
  if (rows.length * size === values.length) return values;
  const picked = new Float32Array(rows.length * size);
  rows.forEach((row, i) => {
    picked.set(values.subarray(row * size, (row + 1) * size), i * size);
  });
  return picked;
}
