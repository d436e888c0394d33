/**
 * A small graph over arrays that stay the same: in WASM if it is one row of a network with few weights, else by ONNX Runtime on one
 * thread. Which of them is a matter of the graph alone, so the same bytes give the same bits in every thread.
 */

import { sizeOf } from '../contract/counts.ts';
import { openRowComputation } from './rows/row-computation.ts';
import { floatTensor, openSession, type TensorInfo, type TensorMap } from './session.ts';

type Arrays = Readonly<Record<string, Float32Array>>;

/** A tensor's values. */
type NamedSize = { readonly name: string; readonly size: number };

export type SmallComputation = {
  readonly inputs: readonly NamedSize[];
  readonly outputs: readonly NamedSize[];
  /**
   * @param inputs read by each run, by name
   * @param outputs written by each run, by name
   * @returns a run
   * @throws Error if an array is missing or of another size
   */
  bind(inputs: Arrays, outputs: Arrays): () => void;
  dispose(): void;
};

/**
 * @param model the bytes of an ONNX file without symbolic sizes, of float32 tensors
 * @param name used in error messages
 */
export function openSmallComputation(model: Uint8Array, name: string): SmallComputation {
  const byRow = openRowComputation(model);
  if (byRow !== undefined) {
    return {
      ...byRow,
      bind(inputs, outputs) {
        requireSizes(name, byRow.inputs, inputs);
        requireSizes(name, byRow.outputs, outputs);
        return () => byRow.run(inputs, outputs);
      },
      dispose() {},
    };
  }
  const session = openSession(model, { threadCount: 1 }, name);
  const sizes = { inputs: session.inputs.map(named), outputs: session.outputs.map(named) };
  return {
    ...sizes,
    bind(inputs, outputs) {
      requireSizes(name, sizes.inputs, inputs);
      requireSizes(name, sizes.outputs, outputs);
      const feeds = tensors(session.inputs, inputs);
      const fetches = tensors(session.outputs, outputs);
      return () => {
        session.run(feeds, fetches);
      };
    },
    dispose: () => session.dispose(),
  };
}

function requireSizes(where: string, values: readonly NamedSize[], arrays: Arrays): void {
  for (const { name, size } of values) {
    const length = arrays[name]?.length;
    if (length !== size) throw new Error(`${where}: expected ${size} values of "${name}", got ${length ?? 'no array'}`);
  }
}

const named = ({ name, shape }: TensorInfo) => ({ name, size: sizeOf(shape as readonly number[]) });

const tensors = (infos: readonly TensorInfo[], arrays: Arrays): TensorMap =>
  Object.fromEntries(infos.map(({ name, shape }) => [name, floatTensor(arrays[name]!, shape as readonly number[])]));
