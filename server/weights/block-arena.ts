/**
 * Memory for generated weights that is used again: slabs, cut into blocks of one size. V8 does not count shared memory, so making
 * weights does not start the garbage collector. The system need not clear the pages each time, which takes longer than the copy.
 *
 * A request that found a block earlier may still read it after it is given back. So a block is taken again only when every reader who
 * was there at that time has left. Readers enter in the turn of the event loop in which they look for weights, and leave when they are done.
 *
 * Why it stays: without it a QGrad of 256 new states took 1.06 to 1.18 of the time and 1.08 to 1.13 of the processor time
 * (test/bench/NOTES.md, "What the server does without").
 */

/** A block that is taken. */
export type ArenaBlock = {
  /** Undefined content at first. A new array, not the one of the block that had this memory before. */
  readonly values: Float32Array;
};

export type BlockArena = {
  /** Undefined where there is no room: use ordinary memory then. */
  take(size: number): ArenaBlock | undefined;
  /** Call when no lookup finds the block any more; a second call does nothing. */
  giveBack(block: ArenaBlock): void;
  /** Begins to read. @returns call it once, when nothing is read any more */
  enter(): () => void;
  /** Gives slabs that are free as a whole back to the system. */
  trim(): void;
  /** Bytes taken from the system: never more than `bytesMax`. */
  readonly bytes: number;
};

type Slab = {
  readonly memory: SharedArrayBuffer;
  /** Floats of a block. */
  readonly size: number;
  readonly blockCount: number;
  readonly freePlaces: number[];
};

type Block = ArenaBlock & { readonly slab: Slab; readonly place: number; isTaken: boolean };

/** Readers that entered while the same blocks could be found, and the blocks that were given back since then. */
type Phase = { readerCount: number; readonly blocks: Block[] };

const slabBytesMax = 2 ** 20;
/** A slab's largest share of the arena, so that small arenas have several. */
const slabShare = 1 / 8;

export function createBlockArena(bytesMax: number): BlockArena {
  /** By size of block; those with a free place last. */
  const slabs = new Map<number, Slab[]>();
  const phases: Phase[] = [{ readerCount: 0, blocks: [] }];
  let bytes = 0;

  function slabFor(size: number): Slab | undefined {
    const same = slabs.get(size) ?? [];
    const found = same.at(-1);
    if (found !== undefined && found.freePlaces.length > 0) return found;
    const blockCount = Math.max(1, Math.floor(Math.min(slabBytesMax, bytesMax * slabShare) / (size * 4)));
    const slabBytes = blockCount * size * 4;
    // Free slabs of other sizes make room.
    if (bytes + slabBytes > bytesMax) trim();
    if (bytes + slabBytes > bytesMax) return undefined;
    bytes += slabBytes;
    const slab: Slab = {
      memory: new SharedArrayBuffer(slabBytes),
      size,
      blockCount,
      freePlaces: Array.from({ length: blockCount }, (_, i) => blockCount - 1 - i),
    };
    slabs.set(size, [...(slabs.get(size) ?? []), slab]);
    return slab;
  }

  function trim(): void {
    for (const [size, list] of slabs) {
      const used = list.filter(({ freePlaces, blockCount }) => freePlaces.length < blockCount);
      for (const { memory } of list) bytes -= memory.byteLength;
      for (const { memory } of used) bytes += memory.byteLength;
      if (used.length === 0) slabs.delete(size);
      else slabs.set(size, used);
    }
  }

  function free({ slab, place }: Block): void {
    slab.freePlaces.push(place);
    if (slab.freePlaces.length > 1) return;
    // The slab was full; now it has room, so it moves to the end.
    const same = slabs.get(slab.size)!;
    same.splice(same.indexOf(slab), 1);
    same.push(slab);
  }

  /** Frees the blocks that no reader can still read. */
  function settle(): void {
    let goneCount = 0;
    for (const { readerCount, blocks } of phases) {
      if (readerCount > 0) break;
      for (const block of blocks.splice(0)) free(block);
      goneCount++;
    }
    // The last phase is for readers that come later. All in one splice: behind a reader who stayed long there may be thousands.
    phases.splice(0, Math.min(goneCount, phases.length - 1));
  }

  return {
    take(size) {
      const slab = slabFor(size);
      if (slab === undefined) return undefined;
      const place = slab.freePlaces.pop()!;
      if (slab.freePlaces.length === 0) {
        const same = slabs.get(size)!;
        same.pop();
        same.unshift(slab);
      }
      const block: Block = {
        values: new Float32Array(slab.memory, place * size * 4, size),
        slab,
        place,
        isTaken: true,
      };
      return block;
    },
    giveBack(given) {
      const block = given as Block;
      if (!block.isTaken) return;
      block.isTaken = false;
      phases.at(-1)!.blocks.push(block);
      settle();
    },
    enter() {
      if (phases.at(-1)!.blocks.length > 0) phases.push({ readerCount: 0, blocks: [] });
      const phase = phases.at(-1)!;
      phase.readerCount++;
      return () => {
        phase.readerCount--;
        settle();
      };
    },
    trim,
    get bytes() {
      return bytes;
    },
  };
}
