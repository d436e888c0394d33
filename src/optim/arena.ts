/**
 * One fixed WASM memory from which flat float32 arrays are cut; freed as a whole when nothing refers to it. It is not
 * shared memory, which ONNX Runtime refuses: its tensors over these arrays are read and written in place.
 */

import { instantiateKernels, type Kernels } from './kernels.ts';

const pageBytes = 65_536;
/** WASM's 32-bit address space, in float32 values. */
const floatCountMax = 2 ** 30;
/** Arrays begin at multiples of this many float32 values, 64 bytes: a cache line. */
const alignment = 16;

/** Rounds a count up to the alignment. */
export const aligned = (count: number): number => Math.ceil(count / alignment) * alignment;

export type Arena = {
  /** Float32 values that the arena holds; each array takes its length rounded up to 16. */
  readonly capacity: number;
  /** Float32 values taken so far. */
  readonly used: number;
  /**
   * Cuts the next array: zeroed, its first byte at a multiple of 64.
   * @throws RangeError if the length is not a positive integer or the arena is full
   */
  allocate(length: number): Float32Array;
  /**
   * Byte address of an array of this arena.
   * @param where the operation and argument, for the error
   * @throws TypeError if the array lies in another memory
   */
  addressOf(array: Float32Array, where: string): number;
  readonly kernels: Kernels;
};

/**
 * Reserves memory for `floatCount` float32 values, rounded up to 16. The system commits it page by page as it is written.
 * @throws RangeError if the count is not in 1..2^30 or the system has no memory for it
 */
export function createArena(floatCount: number): Arena {
  if (!Number.isSafeInteger(floatCount) || floatCount < 1 || floatCount > floatCountMax) {
    throw new RangeError(`createArena: expected 1 to ${floatCountMax} float32 values (4 GiB), got ${floatCount}`);
  }
  const capacity = aligned(floatCount);
  const memory = reserve(Math.ceil((capacity * 4) / pageBytes));
  const kernels = instantiateKernels(memory);
  let used = 0;
  return {
    capacity,
    get used() {
      return used;
    },
    allocate(length) {
      if (!Number.isSafeInteger(length) || length < 1) {
        throw new RangeError(`Arena.allocate: expected a positive integer, got ${length}`);
      }
      if (aligned(length) > capacity - used) {
        throw new RangeError(
          `Arena.allocate: expected at most ${capacity - used} of the arena's ${capacity} float32 values, got ${length}. Create the arena with a higher floatCount`,
        );
      }
      const array = new Float32Array(memory.buffer, used * 4, length);
      used += aligned(length);
      return array;
    },
    addressOf(array, where) {
      if (array.buffer !== memory.buffer) {
        throw new TypeError(`${where}: expected an array of the arena, got one of another memory. Allocate it there`);
      }
      return array.byteOffset;
    },
    kernels,
  };
}

function reserve(pages: number): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages });
  } catch (cause) {
    const size = `${Math.ceil((pages * pageBytes) / 2 ** 20)} MiB`;
    throw new RangeError(`createArena: expected ${size} of memory, got ${(cause as Error).message}`, { cause });
  }
}
