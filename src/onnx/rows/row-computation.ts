/**
 * A small graph of one row whose weights change between runs, as an actor's do in training. All inputs, the weights too, are copied
 * into the program's memory for each run: beside updates, which empty the processor's caches, a call of ONNX Runtime takes longer than
 * that (test/bench/NOTES.md).
 */

import { planRows } from './plan.ts';
import { NotByRow } from './planning.ts';
import { openProgram } from './program.ts';
import { readModel } from './read-model.ts';
import { boundedSizeOf } from './shapes.ts';

export type RowComputation = {
  readonly inputs: readonly { readonly name: string; readonly size: number }[];
  readonly outputs: readonly { readonly name: string; readonly size: number }[];
  /**
   * @param inputs values of all inputs by name
   * @param outputs written, by name
   */
  run(inputs: Arrays, outputs: Arrays): void;
};

type Arrays = Readonly<Record<string, Float32Array>>;

/** Values of all inputs, and multiplications: with more, ONNX Runtime is faster. */
const countMax = 2 ** 18;

/**
 * @param model the bytes of an ONNX file without symbolic sizes
 * @returns undefined where ONNX Runtime is faster, or a row program cannot compute the graph
 */
export function openRowComputation(model: Uint8Array): RowComputation | undefined {
  try {
    return open(model);
  } catch (error) {
    if (error instanceof NotByRow) return undefined;
    throw error;
  }
}

function open(model: Uint8Array): RowComputation | undefined {
  const read = readModel(model).inputs;
  if (read.some(({ isFloat, symbol }) => !isFloat || symbol !== undefined)) return undefined;
  const inputs = read.map(({ name, shape }) => ({ name, size: boundedSizeOf(shape) }));
  if (inputs.reduce((sum, { size }) => sum + size, 0) > countMax) return undefined;
  // All of them as generated weights: one block, its parts in the order asked for.
  const plan = planRows(
    model,
    inputs.map(({ name }) => name),
  );
  const { outputs, weights, workPerRow } = plan;
  if (workPerRow > countMax) return undefined;
  const { floats, compute } = openProgram(plan);
  return {
    inputs,
    outputs,
    run(values, results) {
      let at = weights.address / 4;
      for (const { name, size } of inputs) {
        floats.set(values[name]!, at);
        at += size;
      }
      compute();
      for (const { name, address, size } of outputs) {
        const from = address / 4;
        for (let i = 0; i < size; i++) results[name]![i] = floats[from + i]!;
      }
    },
  };
}
