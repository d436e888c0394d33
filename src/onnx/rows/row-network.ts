/**
 * Runs a small graph row by row in WASM. A call of ONNX Runtime costs tens of microseconds whatever the size of the graph, more so
 * where other work has emptied the processor's caches; a row of a small network is less. A row's result depends on that row
 * alone, to the last bit: not on the rows beside it, nor on how requests were joined.
 */

import { smallArray } from '../small-arrays.ts';
import { planRows } from './plan.ts';
import { openProgram } from './program.ts';

/** Generated weights: a block per context, its parts in the order of `weightNames`; row -> entry, all the first where undefined. */
export type RowWeights = {
  readonly entries: readonly { readonly block: Float32Array }[];
  readonly index: Int32Array | undefined;
};

export type RowRun = {
  readonly rowCount: number;
  /** Values per input, [rowCount, ...]; zeros if one is undefined. */
  readonly rows: Readonly<Record<string, Float32Array | undefined>>;
  readonly weights?: RowWeights | undefined;
};

/** Values per output, [rowCount, ...]. */
export type RowResults = Record<string, Float32Array>;

export type RowNetwork = {
  /** As of RowPlan. */
  readonly workPerRow: number;
  /** Room for the results of so many rows, the caller's own. */
  results(rowCount: number): RowResults;
  /** Computes the rows [from, to) of a run into their places of the results. */
  compute(run: RowRun, from: number, to: number, results: RowResults): void;
};

/**
 * Plans a graph and takes memory for it, which goes when nothing refers to it.
 * @param model the bytes of an ONNX file
 * @param weightNames inputs that a primary generates, in the order in which a block has them
 * @throws NotByRow if a row program cannot compute the graph
 */
export function openRowNetwork(model: Uint8Array, weightNames: readonly string[] = []): RowNetwork {
  const plan = planRows(model, weightNames);
  const { inputs, weights, outputs, workPerRow } = plan;
  const { floats, compute } = openProgram(plan);
  /** The block that the memory holds. */
  let held: Float32Array | undefined;

  function hold(block: Float32Array): void {
    if (block === held) return;
    if (block.length !== weights.size) {
      throw new Error(`row network: expected ${weights.size} generated weights, got ${block.length}`);
    }
    floats.set(block, weights.address / 4);
    held = block;
  }

  return {
    workPerRow,
    results(rowCount) {
      const results: RowResults = {};
      for (const { name, size } of outputs) results[name] = smallArray(rowCount * size);
      return results;
    },
    compute({ rows, weights: generated }, start, end, results) {
      for (let row = start; row < end; row++) {
        if (generated !== undefined) hold(generated.entries[generated.index?.[row] ?? 0]!.block);
        for (const { name, address, size } of inputs) {
          const values = rows[name];
          const to = address / 4;
          if (values === undefined) floats.fill(0, to, to + size);
          else for (let i = 0; i < size; i++) floats[to + i] = values[row * size + i]!;
        }
        compute();
        for (const { name, address, size } of outputs) {
          const values = results[name]!;
          const from = address / 4;
          for (let i = 0; i < size; i++) values[row * size + i] = floats[from + i]!;
        }
      }
    },
  };
}
