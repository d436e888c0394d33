/**
 * Memory for generated weights that is used again: slabs, cut into blocks of one size. The collector does not count it (V8 leaves out
 * shared memory), so that making weights does not call it, and its pages need not be cleared by the system each time, which takes longer
 * than the copy.
 *
 * A block that is given back may still be read by who found it before. So it is taken again only when every reader who was there then
 * has left: readers enter in the turn in which they look for weights, and leave when they are done.
 */

/** A block that is taken. */
export type ArenaBlock = {
  /** Holds anything at first. Not the array of who had the memory before. */
  readonly values: Float32Array;
};

export type BlockArena = {
  /** Undefined where there is no room: memory of its own does as well. */
  take(size: number): ArenaBlock | undefined;
  /** Once nothing finds the block any more; a second time does nothing. */
  giveBack(block: ArenaBlock): void;
  /** @returns to be called when nothing is read any more, once */
  enter(): () => void;
  /** Gives back to the system what is free, slab by slab. */
  trim(): void;
  /** Taken from the system: never more than `bytesMax`. */
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

/** Readers that came while the same blocks could be found, and the blocks that were given back since. */
type Phase = { readerCount: number; readonly blocks: Block[] };

const slabBytesMax = 2 ** 20;
/** Of the arena: small ones are to be used too. */
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
    // What other sizes left behind makes room.
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
    // It was full: now it is among those with room.
    const same = slabs.get(slab.size)!;
    same.splice(same.indexOf(slab), 1);
    same.push(slab);
  }

  /** Frees what nobody can read. */
  function settle(): void {
    let goneCount = 0;
    for (const { readerCount, blocks } of phases) {
      if (readerCount > 0) break;
      for (const block of blocks.splice(0)) free(block);
      goneCount++;
    }
    // The last one is for readers to come. All at once: there are thousands behind a reader who stayed long.
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
