/**
 * Feeds of a dynamic network for the contexts of a request: cached weights where they are known, one primary run for those
 * that are not. The one place that knows primary, cache and layout together.
 */

import { floatTensor, type TensorMap } from '../src/onnx/session.ts';
import type { HeavyGraph } from './compute-pool.ts';
import type { ContextCache } from './context-cache.ts';
import { type GeneratedWeights, joinWeights, splitWeights, type WeightLayout } from './generated-weights.ts';
import type { DistinctRows } from './tensors.ts';

export type WeightSource = {
  /** Feeds with leading K for these contexts, in order; a promise where some must be generated. */
  feedsFor(contexts: DistinctRows): TensorMap | Promise<TensorMap>;
  /** The same without the cache: neither read nor filled. For probes. */
  generate(contexts: DistinctRows): TensorMap | Promise<TensorMap>;
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

  const generate = (values: Float32Array, count: number) =>
    primary.run({ [inputName]: floatTensor(values, [count, inputSize]) });

  function feedsFor({ values, keys: rowKeys }: DistinctRows): TensorMap | Promise<TensorMap> {
    const keys = rowKeys.map((key) => keyPrefix + key);
    const known = keys.map((key) => cache.get(key));
    const missing: number[] = [];
    known.forEach((weights, k) => {
      if (weights === undefined && cache.inFlight(keys[k]!) === undefined) missing.push(k);
    });
    if (missing.length === 0 && known.every((weights) => weights !== undefined)) return joinWeights(layout, known);
    return generateMissing({ values, keys, known, missing });
  }

  async function generateMissing({ values, keys, known, missing }: Misses): Promise<TensorMap> {
    // Taken before the own generation is announced: what others generate is waited for, not made again.
    const others = new Map(
      keys.flatMap((key, k) => {
        const generation = known[k] === undefined ? cache.inFlight(key) : undefined;
        return generation === undefined ? [] : [[k, generation] as const];
      }),
    );
    const all = [...known];
    if (missing.length > 0) {
      const run = generate(pickRows(values, missing, inputSize), missing.length);
      const missingKeys = missing.map((k) => keys[k]!);
      let made: GeneratedWeights[];
      let outputs: TensorMap;
      if (run instanceof Promise) {
        const generation = run.then((result) => ({ result, weights: splitWeights(layout, result, missing.length) }));
        cache.fill(
          missingKeys,
          generation.then(({ weights }) => weights),
        );
        const { result, weights } = await generation;
        outputs = result;
        made = weights;
      } else {
        outputs = run;
        made = splitWeights(layout, run, missing.length);
        cache.insert(missingKeys, made);
      }
      // Every context is new: the primary's outputs are the feeds as they are.
      if (missing.length === keys.length) return outputs;
      missing.forEach((k, i) => {
        all[k] = made[i];
      });
    }
    for (const [k, generation] of others) all[k] = await generation;
    return joinWeights(layout, all as GeneratedWeights[]);
  }

  return { feedsFor, generate: ({ values, keys }) => generate(values, keys.length) };
}

type Misses = {
  readonly values: Float32Array;
  readonly keys: readonly string[];
  readonly known: readonly (GeneratedWeights | undefined)[];
  readonly missing: readonly number[];
};

function pickRows(values: Float32Array, rows: readonly number[], size: number): Float32Array {
  if (rows.length * size === values.length) return values;
  const picked = new Float32Array(rows.length * size);
  rows.forEach((row, i) => {
    picked.set(values.subarray(row * size, (row + 1) * size), i * size);
  });
  return picked;
}
