/**
 * The weights for the contexts of a request: cached ones where they are known, one primary run for those that are not. The one
 * place that knows primary, cache and layout together.
 */

import { floatTensor } from '../../src/onnx/session.ts';
import type { DistinctRows } from '../call/tensors.ts';
import type { Deadline } from '../compute/batcher.ts';
import type { HeavyGraph } from '../compute/compute-pool.ts';
import type { BlockArena } from './block-arena.ts';
import type { ContextCache } from './context-cache.ts';
import { collectWeights, type GeneratedWeights, type WeightBatch, type WeightLayout } from './generated-weights.ts';

export type WeightSource = {
  readonly layout: WeightLayout;
  /**
   * The weights of these contexts, in order; a promise where some must be generated.
   * @param deadlineMs on the clock of `Date.now()`; what is late while it waits is not generated
   */
  weightsFor(contexts: DistinctRows, deadlineMs: number): WeightBatch | Promise<WeightBatch>;
  /** How many of these contexts must still be made. */
  missingCount(contexts: DistinctRows): number;
  /**
   * Pins or unpins the weights of these contexts.
   * @throws HyperpolicyError resource_exhausted as ContextCache.pin
   */
  pin(contexts: DistinctRows, batch: WeightBatch): void;
  unpin(contexts: DistinctRows): void;
  /**
   * Weights of `weightsFor` are read over several turns within this alone, and only where it was called in the turn that asked for
   * them: outside their memory may hold others' by then. Not needed where the cache has no arena, as that of policies.
   */
  reading<T>(work: () => Promise<T>): Promise<T>;
  /** Contexts of this version that are in the cache, as `ContextCache.newestKeys`, without what tells versions apart. */
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

  /** The key asked for last, with its prefix: the same text need not be put together and hashed again. */
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

  function weightsFor(contexts: DistinctRows, deadlineMs: number): WeightBatch | Promise<WeightBatch> {
    const { values } = contexts;
    const keys = keysOf(contexts);
    const entries = keys.map((key) => cache.get(key));
    if (entries.every((entry) => entry !== undefined)) return { entries };
    return completeEntries({ values, keys, entries, deadlineMs });
  }

  async function completeEntries({ values, keys, entries, deadlineMs }: Lookup): Promise<WeightBatch> {
    const missing: number[] = [];
    const waits: { readonly k: number; readonly weights: Promise<GeneratedWeights>; readonly deadline: Deadline }[] =
      [];
    entries.forEach((entry, k) => {
      if (entry !== undefined) return;
      const generation = cache.inFlight(keys[k]!);
      if (generation === undefined) {
        missing.push(k);
        return;
      }
      generation.deadline.atMs = Math.max(generation.deadline.atMs, deadlineMs);
      waits.push({ k, weights: generation.weights, deadline: generation.deadline });
    });
    const all = [...entries];
    let startedAtMs = 0;
    if (missing.length > 0) {
      const deadline: Deadline = { atMs: deadlineMs };
      const made = runPrimary(pickRows(values, missing, inputSize), missing.length, deadline, cache.arena);
      cache.fill(
        missing.map((k) => keys[k]!),
        made,
        deadline,
      );
      const own = await made;
      missing.forEach((k, i) => {
        all[k] = own[i];
      });
      startedAtMs = deadline.startedAtMs ?? 0;
    }
    for (const { k, weights, deadline } of waits) {
      all[k] = await weights;
      startedAtMs = Math.max(startedAtMs, deadline.startedAtMs ?? 0);
    }
    return { entries: all as GeneratedWeights[], startedAtMs };
  }

  return {
    layout,
    weightsFor,
    missingCount: (contexts) => keysOf(contexts).filter((key) => cache.get(key) === undefined).length,
    pin: (contexts, { entries }) => cache.pin(keysOf(contexts), entries),
    unpin: (contexts) => cache.unpin(keysOf(contexts)),
    async reading(work) {
      const leave = cache.arena?.enter();
      try {
        return await work();
      } finally {
        leave?.();
      }
    },
    knownKeys: (countMax) => cache.newestKeys(keyPrefix, countMax).map((key) => key.slice(keyPrefix.length)),
    async learn(keys) {
      const bytes = Buffer.from(keys.join(''), 'latin1');
      const values = new Float32Array(keys.length * inputSize);
      new Uint8Array(values.buffer).set(bytes);
      const entries = keys.map(() => undefined);
      await completeEntries({ values, keys: keys.map(fullKey), entries, deadlineMs: Number.POSITIVE_INFINITY });
    },
    async generate({ values, keys }) {
      return { entries: await runPrimary(values, keys.length, { atMs: Number.POSITIVE_INFINITY }) };
    },
  };
}

type Lookup = {
  readonly values: Float32Array;
  readonly keys: readonly string[];
  readonly entries: readonly (GeneratedWeights | undefined)[];
  readonly deadlineMs: number;
};

function pickRows(values: Float32Array, rows: readonly number[], size: number): Float32Array {
  if (rows.length * size === values.length) return values;
  const picked = new Float32Array(rows.length * size);
  rows.forEach((row, i) => {
    picked.set(values.subarray(row * size, (row + 1) * size), i * size);
  });
  return picked;
}
