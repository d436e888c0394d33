/**
 * Reused memory for large arrays: slabs that are divided into blocks of one size. V8 does not count shared memory, so allocating a block
 * does not start the garbage collector. The system need not clear the pages each time, which takes longer than the copy.
 *
 * A request may still read a block after it was given back. So a block is reused only when every reader that was there at that time has
 * left. Readers enter in the turn of the event loop in which they look up blocks, and leave when they are done.
 *
 * Why it stays: without it, a QGrad of 256 new states took 1.05 to 1.18 of the time and 1.08 to 1.20 of the processor time
 * (test/bench/NOTES.md, "What the server does without").
 */

/** A block in use. */
export type ArenaBlock = {
  /** Not initialised. A new array, even if another block had this memory before. */
  readonly values: Float32Array;
};

type Slab = { readonly memory: SharedArrayBuffer; takenCount: number };

/** The position of a block in a slab. */
type Place = { readonly slab: Slab; readonly byteOffset: number };

type Block = ArenaBlock & { readonly place: Place; isTaken: boolean };

/** Readers that entered at the same time, as seen by blocks, and the blocks that were given back since then. */
type Phase = { readerCount: number; readonly blocks: Block[] };

const slabBytesMax = 2 ** 20;
/** Largest share of the arena for one slab, so that small arenas have several. */
const slabShare = 1 / 8;

export class BlockArena {
  readonly #bytesMax: number;
  /** Free places by block size, in floats. */
  readonly #free = new Map<number, Place[]>();
  readonly #phases: Phase[] = [{ readerCount: 0, blocks: [] }];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Allocated bytes, at most `bytesMax`. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @returns undefined if there is no room: use ordinary memory then */
  take(size: number): ArenaBlock | undefined {
    const place = this.#free.get(size)?.pop() ?? this.#addSlab(size)?.pop();
    if (place === undefined) return undefined;
    place.slab.takenCount++;
    const block: Block = { values: new Float32Array(place.slab.memory, place.byteOffset, size), place, isTaken: true };
    return block;
  }

  /** Call when lookups no longer find the block; a second call does nothing. */
  giveBack(given: ArenaBlock): void {
    const block = given as Block;
    if (!block.isTaken) return;
    block.isTaken = false;
    this.#phases.at(-1)!.blocks.push(block);
    this.#settle();
  }

  /** Begins to read. @returns to be called once, at the end of reading */
  enter(): () => void {
    if (this.#phases.at(-1)!.blocks.length > 0) this.#phases.push({ readerCount: 0, blocks: [] });
    const phase = this.#phases.at(-1)!;
    phase.readerCount++;
    return () => {
      phase.readerCount--;
      this.#settle();
    };
  }

  /** Frees the slabs of which no block is in use. */
  trim(): void {
    for (const [size, places] of this.#free) {
      for (const slab of new Set(places.map((place) => place.slab))) {
        if (slab.takenCount === 0) this.#bytes -= slab.memory.byteLength;
      }
      const left = places.filter(({ slab }) => slab.takenCount > 0);
      if (left.length === 0) this.#free.delete(size);
      else this.#free.set(size, left);
    }
  }

  /** The places of a new slab; undefined if there is no room. */
  #addSlab(size: number): Place[] | undefined {
    const blockBytes = size * 4;
    const blockCount = Math.max(1, Math.floor(Math.min(slabBytesMax, this.#bytesMax * slabShare) / blockBytes));
    const slabBytes = blockCount * blockBytes;
    // Free slabs of other sizes make room.
    if (this.#bytes + slabBytes > this.#bytesMax) this.trim();
    if (this.#bytes + slabBytes > this.#bytesMax) return undefined;
    this.#bytes += slabBytes;
    const slab: Slab = { memory: new SharedArrayBuffer(slabBytes), takenCount: 0 };
    const places = Array.from({ length: blockCount }, (_, i) => ({ slab, byteOffset: i * blockBytes }));
    this.#free.set(size, places);
    return places;
  }

  /** Frees the blocks that no reader can still read. */
  #settle(): void {
    let goneCount = 0;
    for (const { readerCount, blocks } of this.#phases) {
      if (readerCount > 0) break;
      for (const { place, values } of blocks.splice(0)) this.#putBack(place, values.length);
      goneCount++;
    }
    // The last phase stays, for readers that come later. One splice for all: after a slow reader there may be thousands of phases.
    this.#phases.splice(0, Math.min(goneCount, this.#phases.length - 1));
  }

  #putBack(place: Place, size: number): void {
    place.slab.takenCount--;
    const places = this.#free.get(size);
    if (places === undefined) this.#free.set(size, [place]);
    else places.push(place);
  }
}
