/**
 * The weights for the contexts of a request: kept ones where they are known, one run of the primary for those that are not. The one
 * place that knows primary, cache and layout together.
 */

import { floatTensor } from '../../src/onnx/session.ts';
import type { DistinctRows } from '../call/tensors.ts';
import type { Deadline } from '../compute/batcher.ts';
import type { HeavyGraph } from '../compute/compute-pool.ts';
import type { BlockArena } from './block-arena.ts';
import type { ContextCache, Request } from './context-cache.ts';
import { collectWeights, type WeightBatch, type WeightLayout } from './generated-weights.ts';

export type WeightSource = {
  readonly layout: WeightLayout;
  /**
   * The weights of these contexts, in order; a promise where some must be generated. Those of a critic are read over several turns of
   * the event loop only under a lease of the version, taken in the turn of this call: else their memory may hold others' weights.
   * @param deadlineMs on the clock of `Date.now()`; what is late while it waits is not generated
   */
  weightsFor(contexts: DistinctRows, deadlineMs: number): WeightBatch | Promise<WeightBatch>;
  /**
   * Pins or unpins the weights of these contexts.
   * @throws HyperpolicyError resource_exhausted as KeptWeights.pin
   */
  pin(contexts: DistinctRows, batch: WeightBatch): void;
  unpin(contexts: DistinctRows): void;
  /** Contexts of this version that are in the cache, as `KeptWeights.newestKeys`, without the prefix of the version. */
  knownKeys(countMax: number): readonly string[];
  /**
   * Generates the weights of contexts before anybody asks for them.
   * @param keys as `DistinctRows` has them
   * @throws what the run of the primary throws
   */
  learn(keys: readonly string[]): Promise<void>;
  /** The weights of contexts, without the cache: neither read nor filled. For probes. */
  generate(contexts: DistinctRows): Promise<WeightBatch>;
};

export type WeightSourceOptions = {
  readonly primary: HeavyGraph;
  readonly layout: WeightLayout;
  /** The primary's input, [K, inputSize]. */
  readonly inputName: string;
  readonly inputSize: number;
  readonly cache: ContextCache;
  /** Of the version; no other version has it. */
  readonly keyPrefix: string;
};

export function createWeightSource(options: WeightSourceOptions): WeightSource {
  const { primary, layout, inputName, inputSize, cache, keyPrefix } = options;

  async function runPrimary(values: Float32Array, count: number, deadline: Deadline, arena?: BlockArena) {
    const made = collectWeights(layout, count, arena);
    const feeds = { [inputName]: floatTensor(values, [count, inputSize]) };
    try {
      await primary.runInto({ feeds, rowCount: count, deadline }, made);
    } catch (error) {
      made.discard();
      throw error;
    }
    return made.entries;
  }

  /** The key asked for last, with its prefix: the same text need not be joined and hashed again. */
  let lastKey: string | undefined;
  let lastFullKey = '';

  function fullKey(key: string): string {
    if (key !== lastKey) {
      lastKey = key;
      lastFullKey = keyPrefix + key;
    }
    return lastFullKey;
  }

  const keysOf = ({ keys }: DistinctRows) => keys.map(fullKey);

  const request = (values: Float32Array, deadlineMs: number): Request => ({
    generate: (places, deadline) =>
      runPrimary(pickRows(values, places, inputSize), places.length, deadline, cache.kept.arena),
    deadlineMs,
  });

  return {
    layout,
    weightsFor: (contexts, deadlineMs) => cache.getOrGenerate(keysOf(contexts), request(contexts.values, deadlineMs)),
    pin: (contexts, { entries }) => cache.kept.pin(keysOf(contexts), entries),
    unpin: (contexts) => cache.kept.unpin(keysOf(contexts)),
    knownKeys: (countMax) => cache.kept.newestKeys(keyPrefix, countMax).map((key) => key.slice(keyPrefix.length)),
    learn(keys) {
      const values = new Float32Array(keys.length * inputSize);
      new Uint8Array(values.buffer).set(Buffer.from(keys.join(''), 'latin1'));
      return cache.learn(keys.map(fullKey), request(values, Number.POSITIVE_INFINITY));
    },
    async generate({ values, keys }) {
      return { entries: await runPrimary(values, keys.length, { atMs: Number.POSITIVE_INFINITY }) };
    },
  };
}

function pickRows(values: Float32Array, rows: readonly number[], size: number): Float32Array {
  if (rows.length * size === values.length) return values;
  const picked = new Float32Array(rows.length * size);
  rows.forEach((row, i) => {
    picked.set(values.subarray(row * size, (row + 1) * size), i * size);
  });
  return picked;
}
