/** The flat memory of a row program: weights, constants and values, one behind the other. */

import { firstAddress } from './kernels.ts';
import { NotByRow } from './planning.ts';

/** Values begin at cache lines. */
const lineBytes = 64;
/** 256 MiB. The graph may come from anybody, and a file of some hundred bytes can ask for any amount of memory. */
const memoryCountMax = 2 ** 26;

export class RowMemory {
  #end: number = firstAddress;

  /** Bytes so far. */
  get byteCount(): number {
    return this.#end;
  }

  /**
   * @param boundary bytes; the address is a multiple
   * @returns the address of `size` float32 values
   * @throws NotByRow if they do not fit
   */
  allot(size: number, boundary = lineBytes): number {
    const address = Math.ceil(this.#end / boundary) * boundary;
    if (!(size >= 0 && address / 4 + size <= memoryCountMax)) throw new NotByRow(`room for ${size} values`);
    this.#end = address + size * 4;
    return address;
  }
}
