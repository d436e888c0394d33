/** A plan with its memory: the kernel calls of one row, in order. */

import { instantiateRowKernels } from './kernels.ts';
import type { RowPlan } from './plan.ts';

export type RowProgram = {
  /** The whole memory, which the plan's addresses count in bytes. */
  readonly floats: Float32Array;
  /** Computes the row whose inputs the memory holds. */
  compute(): void;
};

const pageBytes = 65_536;

/** Takes memory for a plan, which goes when nothing refers to it, and puts the constants into it. */
export function openProgram({ memoryBytes, constants, steps }: RowPlan): RowProgram {
  const pages = Math.ceil(memoryBytes / pageBytes);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const floats = new Float32Array(memory.buffer);
  for (const { address, values } of constants) floats.set(values, address / 4);
  const kernels = instantiateRowKernels(memory);
  const calls = steps.map((step) => step(kernels));
  return {
    floats,
    compute() {
      for (const call of calls) call();
    },
  };
}
