/**
 * The weights that a primary generates for one context: one contiguous block per context, cut from the primary's outputs and
 * joined again into the feeds of a dynamic network that serves several contexts in one run.
 */

import { floatTensor, type TensorMap } from '../src/onnx/session.ts';
import { invalidArgument } from '../src/spec/errors.ts';
import type { Graph } from '../src/spec/manifest.ts';

type Part = {
  readonly name: string;
  /** Without the leading K. */
  readonly shape: readonly number[];
  /** Values, and where they start in the block. */
  readonly size: number;
  readonly offset: number;
};

/** Where each generated tensor lies in a block. */
export type WeightLayout = { readonly parts: readonly Part[]; readonly size: number };

/** The weights of one context. */
export type GeneratedWeights = {
  readonly block: Float32Array;
  /** What a cache counts. */
  readonly bytes: number;
  /** Feeds for this context alone, made on first use. */
  feeds: TensorMap | undefined;
};

/** Layout of a primary's outputs, in the order of the manifest: each [K, ...]. */
export function weightLayout(primary: Graph): WeightLayout {
  const parts: Part[] = [];
  let offset = 0;
  for (const { name, shape } of primary.outputs) {
    const sizes = shape.slice(1);
    if (typeof shape[0] !== 'string' || !sizes.every((size) => typeof size === 'number')) {
      throw invalidArgument({
        where: `${primary.file} output "${name}"`,
        expected: 'a shape [K, ...] of which only K is symbolic',
        actual: `[${shape.join(', ')}]`,
      });
    }
    const size = sizes.reduce((product, length) => product * length, 1);
    parts.push({ name, shape: sizes, size, offset });
    offset += size;
  }
  return { parts, size: offset };
}

/** The weights of K contexts, in order. */
export type WeightBatch = {
  readonly entries: readonly GeneratedWeights[];
  /** The same as feeds, where they are at hand: the outputs of the primary run that made them all. */
  readonly feeds?: TensorMap;
  /** When the last run that made some of them began, on the clock of `performance.now()`; undefined where none was needed. */
  readonly startedAtMs?: number;
};

/** Fixed cost of one entry beside its values: objects, views and the key. */
const entryOverheadBytes = 512;

/** Copies each context's weights out of a primary's outputs for `count` contexts, so that an entry can be freed alone. */
export function splitWeights(layout: WeightLayout, outputs: TensorMap, count: number): GeneratedWeights[] {
  const sources = layout.parts.map(({ name, size }) => {
    const source = outputs[name]!.data as Float32Array;
    if (source.length !== count * size) {
      throw new Error(
        `generated weights "${name}": expected ${count * size} values for ${count} contexts, got ${source.length}`,
      );
    }
    return source;
  });
  return Array.from({ length: count }, (_, k) => {
    const block = new Float32Array(layout.size);
    layout.parts.forEach(({ size, offset }, i) => {
      block.set(sources[i]!.subarray(k * size, (k + 1) * size), offset);
    });
    return { block, bytes: block.byteLength + entryOverheadBytes, feeds: undefined };
  });
}

/** Feeds of a dynamic network for these contexts, in order: each part as [K, ...]. Without a copy where there is one. */
export function joinWeights(layout: WeightLayout, { entries, feeds: made }: WeightBatch): TensorMap {
  if (made !== undefined) return made;
  const first = entries[0]!;
  if (entries.length === 1) {
    first.feeds ??= Object.fromEntries(
      layout.parts.map(({ name, shape, size, offset }) => [
        name,
        floatTensor(first.block.subarray(offset, offset + size), [1, ...shape]),
      ]),
    );
    return first.feeds;
  }
  const feeds: TensorMap = {};
  for (const { name, shape, size, offset } of layout.parts) {
    const joined = new Float32Array(entries.length * size);
    entries.forEach(({ block }, k) => {
      joined.set(block.subarray(offset, offset + size), k * size);
    });
    feeds[name] = floatTensor(joined, [entries.length, ...shape]);
  }
  return feeds;
}
