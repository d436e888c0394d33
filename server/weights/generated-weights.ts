/**
 * The weights that a primary generates for one context: one contiguous block per context, copied from the primary's outputs. Blocks of
 * several contexts are joined again into the feeds of a dynamic network.
 */

import { sizeOf } from '../../src/contract/counts.ts';
import { invalidArgument } from '../../src/contract/errors.ts';
import type { ArenaBlock, BlockArena } from '../../src/memory/block-arena.ts';
import { floatTensor, type TensorMap } from '../../src/onnx/session.ts';
import type { Graph } from '../../src/package/manifest.ts';
import type { RowRange, Sink } from '../compute/batcher.ts';

type Part = {
  readonly name: string;
  /** Without the leading K. */
  readonly shape: readonly number[];
  /** Number of values, and where they begin in the block. */
  readonly size: number;
  readonly offset: number;
};

/** Where each generated tensor lies in a block. */
export type WeightLayout = { readonly parts: readonly Part[]; readonly size: number };

/** The weights of one context. */
export type GeneratedWeights = {
  readonly block: Float32Array;
  /** Bytes that count against a cache's budget. */
  readonly bytes: number;
  /** The arena's block if the memory belongs to an arena. */
  readonly lent?: ArenaBlock | undefined;
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
    const size = sizeOf(sizes);
    parts.push({ name, shape: sizes, size, offset });
    offset += size;
  }
  return { parts, size: offset };
}

/** The weights of K contexts, in order. */
export type WeightBatch = {
  readonly entries: readonly GeneratedWeights[];
  /** Row -> entry, [B]; undefined if all rows use the first. */
  readonly index?: Int32Array | undefined;
  /** When the last run that generated some of them began, on the clock of `performance.now()`; undefined if all were kept. */
  readonly startedAtMs?: number;
  /** How many were missing in the cache; undefined means none. */
  readonly missingCount?: number;
};

/** Fixed cost of one entry beside its values: objects, views and the key. */
const entryOverheadBytes = 512;

/** A sink that makes weights of a primary's outputs. */
export type WeightCollector = Required<Sink> & {
  /** In the order of the contexts; complete when the job is done. */
  readonly entries: readonly GeneratedWeights[];
  /** Call after a failure: returns all blocks to the arena, and ignores further outputs. */
  discard(): void;
};

/**
 * Copies the weights of each of `count` contexts into its own block, so that each can be freed alone.
 * @param arena gives the blocks, as long as it has room
 */
export function collectWeights(layout: WeightLayout, count: number, arena?: BlockArena): WeightCollector {
  const entries: GeneratedWeights[] = new Array(count);
  let isDiscarded = false;
  /** Allocating takes longer than copying, so memory is allocated while a thread computes, if the run says when it begins. */
  const begin = ({ from, count: rowCount }: RowRange): void => {
    if (isDiscarded) return;
    for (let k = from; k < from + rowCount; k++) {
      const lent = arena?.take(layout.size);
      const block = lent?.values ?? new Float32Array(layout.size);
      entries[k] = { block, bytes: block.byteLength + entryOverheadBytes, lent };
    }
  };
  return {
    entries,
    begin,
    take(outputs, rows) {
      if (isDiscarded) return;
      const sources = layout.parts.map(({ name, size }) => {
        const source = outputs[name]!.data as Float32Array;
        if (source.length === rows.count * size) return source;
        throw new Error(
          `generated weights "${name}": expected ${rows.count * size} values for ${rows.count} contexts, got ${source.length}`,
        );
      });
      if (entries[rows.from] === undefined) begin(rows);
      for (let k = 0; k < rows.count; k++) {
        const { block } = entries[rows.from + k]!;
        layout.parts.forEach(({ size, offset }, i) => {
          block.set(sources[i]!.subarray(k * size, (k + 1) * size), offset);
        });
      }
    },
    discard() {
      isDiscarded = true;
      for (const { lent } of Object.values(entries)) if (lent !== undefined) arena!.giveBack(lent);
    },
  };
}

/** The same weights outside any arena. */
export const withOwnBlock = (weights: GeneratedWeights): GeneratedWeights =>
  weights.lent === undefined ? weights : { ...weights, block: weights.block.slice(), lent: undefined };

/** Feeds of a dynamic network for these contexts, in order: each part as [K, ...]. A single context is not copied. */
export function joinWeights({ parts }: WeightLayout, { entries }: WeightBatch): TensorMap {
  const [first] = entries;
  // An arena's block is shared memory, which the runtime does not accept.
  const own = entries.length === 1 && first!.lent === undefined ? first!.block : undefined;
  const join = ({ size, offset }: Part) => {
    const joined = new Float32Array(entries.length * size);
    entries.forEach(({ block }, k) => {
      joined.set(block.subarray(offset, offset + size), k * size);
    });
    return joined;
  };
  return Object.fromEntries(
    parts.map((part) => {
      const { name, shape, size, offset } = part;
      const values = own?.subarray(offset, offset + size) ?? join(part);
      return [name, floatTensor(values, [entries.length, ...shape])];
    }),
  );
}
