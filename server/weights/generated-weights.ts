/**
 * The weights that a primary generates for one context: one contiguous block per context, cut from the primary's outputs and
 * joined again into the feeds of a dynamic network that serves several contexts in one run.
 */

import { invalidArgument } from '../../src/contract/errors.ts';
import { floatTensor, type TensorMap } from '../../src/onnx/session.ts';
import type { Graph } from '../../src/package/manifest.ts';
import type { RowRange, Sink } from '../compute/batcher.ts';
import type { ArenaBlock, BlockArena } from './block-arena.ts';

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
  /** Bytes that a cache counts for it. */
  readonly bytes: number;
  /** The arena's block, where the memory is lent by one. */
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
    const size = sizes.reduce((product, length) => product * length, 1);
    parts.push({ name, shape: sizes, size, offset });
    offset += size;
  }
  return { parts, size: offset };
}

/** The weights of K contexts, in order. */
export type WeightBatch = {
  readonly entries: readonly GeneratedWeights[];
  /** Row -> entry, [B]; undefined where all rows have the first. */
  readonly index?: Int32Array | undefined;
  /** When the last run that made some of them began, on the clock of `performance.now()`; undefined where none was needed. */
  readonly startedAtMs?: number;
  /** How many were not kept when they were asked for; undefined is none. */
  readonly missingCount?: number;
};

/** Fixed cost of one entry beside its values: objects, views and the key. */
const entryOverheadBytes = 512;

/** The weights of contexts as a primary makes them: a sink of its outputs. */
export type WeightCollector = Required<Sink> & {
  /** In order; complete when the job is done. */
  readonly entries: readonly GeneratedWeights[];
  /** Call after a failure: gives all blocks back, and takes no more outputs. */
  discard(): void;
};

/**
 * Collects the weights of `count` contexts, each copied into a block of its own, so that an entry can be freed alone.
 * @param arena lends the blocks, as long as it has room
 */
export function collectWeights(layout: WeightLayout, count: number, arena?: BlockArena): WeightCollector {
  const entries: GeneratedWeights[] = new Array(count);
  let isDiscarded = false;
  /** Allocating memory takes longer than the copy, so it is done while a thread computes, where the run says when. */
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

/** The same weights in memory of their own. */
export const withOwnBlock = (weights: GeneratedWeights): GeneratedWeights =>
  weights.lent === undefined ? weights : { ...weights, block: weights.block.slice(), lent: undefined };

/** Feeds of a dynamic network for these contexts, in order: each part as [K, ...]. Without a copy where there is one. */
export function joinWeights({ parts }: WeightLayout, { entries }: WeightBatch): TensorMap {
  const [first] = entries;
  // A lent block lies in shared memory, which the runtime does not take.
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
