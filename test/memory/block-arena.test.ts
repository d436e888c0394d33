import { describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { type ArenaBlock, BlockArena } from '../../src/memory/block-arena.ts';

/** Where a block lies, as text. */
const place = ({ values }: ArenaBlock): string => {
  const { buffer, byteOffset } = values;
  if (!names.has(buffer)) names.set(buffer, names.size);
  return `${names.get(buffer)}:${byteOffset}`;
};
const names = new Map<ArrayBufferLike, number>();

describe('the block arena', () => {
  test('lends what was given back, as another array', () => {
    const arena = new BlockArena(1000);
    const first = arena.take(10)!;
    first.values.fill(7);
    arena.giveBack(first);
    const second = arena.take(10)!;
    expect(place(second)).toBe(place(first));
    // Who knows a block by its array must not take it for the one that it was.
    expect(second.values).not.toBe(first.values);
    expect(second.values).toHaveLength(10);
    expect(place(arena.take(10)!)).not.toBe(place(second));
  });

  test('never takes more than its bound, and says so', () => {
    // Slabs of an eighth: 125 bytes, three blocks of 40; eight of them are 960 bytes.
    const arena = new BlockArena(1000);
    const taken = Array.from({ length: 30 }, () => arena.take(10));
    expect(taken.filter((block) => block !== undefined)).toHaveLength(24);
    expect(new Set(taken.slice(0, 24).map((block) => place(block!))).size).toBe(24);
    expect(arena.bytes).toBe(960);
    arena.giveBack(taken[0]!);
    expect(arena.take(10)).toBeDefined();
    expect(arena.take(10)).toBeUndefined();
    expect(new BlockArena(0).take(10)).toBeUndefined();
    expect(new BlockArena(100).take(26)).toBeUndefined();
  });

  test('does not lend a block again before all readers have left who were there when it was given back', () => {
    const arena = new BlockArena(40);
    const block = arena.take(10)!;
    const leaves = [arena.enter(), arena.enter()];
    arena.giveBack(block);
    const late = arena.enter();
    leaves[0]!();
    expect(arena.take(10)).toBeUndefined();
    leaves[1]!();
    // Who came later cannot have found it.
    const again = arena.take(10)!;
    expect(again).toBeDefined();
    arena.giveBack(again);
    expect(arena.take(10)).toBeUndefined();
    late();
    expect(arena.take(10)).toBeDefined();
  });

  test('frees at once what fifty thousand readers gave back behind one who stayed long', () => {
    const arena = new BlockArena(2 ** 23);
    const leave = arena.enter();
    const leaves = Array.from({ length: 50_000 }, () => {
      const left = arena.enter();
      arena.giveBack(arena.take(10)!);
      return left;
    });
    for (const left of leaves) left();
    const startMs = performance.now();
    leave();
    // Some milliseconds; half a minute where it takes them out one by one.
    expect(performance.now() - startMs).toBeLessThan(2000);
    arena.trim();
    expect(arena.bytes).toBe(0);
  });

  test('a reader who stays long holds what was given back since, and no more', () => {
    const arena = new BlockArena(80);
    const [a, b] = [arena.take(10)!, arena.take(10)!];
    arena.giveBack(a);
    const stay = arena.enter();
    expect(arena.take(10)).toBeDefined();
    const passing = arena.enter();
    arena.giveBack(b);
    passing();
    expect(arena.take(10)).toBeUndefined();
    stay();
    expect(arena.take(10)).toBeDefined();
  });

  test('a block that is given back twice is lent once', () => {
    const arena = new BlockArena(80);
    const [a, b] = [arena.take(10)!, arena.take(10)!];
    arena.giveBack(a);
    arena.giveBack(a);
    const again = arena.take(10)!;
    arena.giveBack(a);
    expect(arena.take(10)).toBeUndefined();
    expect([place(again), place(b)]).toEqual([place(a), place(b)]);
  });

  test('what other sizes left behind makes room, and can be given back to the system', () => {
    const arena = new BlockArena(80);
    const [a, b] = [arena.take(10)!, arena.take(10)!];
    arena.giveBack(a);
    expect(arena.take(20)).toBeUndefined();
    arena.giveBack(b);
    const large = arena.take(20)!;
    expect([large.values.length, arena.bytes]).toEqual([20, 80]);
    arena.trim();
    expect(arena.bytes).toBe(80);
    arena.giveBack(large);
    arena.trim();
    expect(arena.bytes).toBe(0);
  });

  test.each([1, 2, 3])(
    'whatever happens, no reader sees a block change that could be found when it came (seed %i)',
    (seed) => {
      const random = createRandom(seed);
      const arena = new BlockArena(4000);
      /** What can be found, by what it holds; and what each reader has found. */
      const kept: { readonly block: ArenaBlock; readonly value: number }[] = [];
      const readers: { readonly leave: () => void; readonly found: typeof kept }[] = [];
      let lentAgain = 0;
      const before = new Set<string>();
      for (let i = 1; i <= 5000; i++) {
        const draw = random.uniform();
        if (draw < 0.45) {
          const block = arena.take(random.uniform() < 0.8 ? 10 : 25);
          if (block !== undefined) {
            if (before.has(place(block))) lentAgain++;
            before.add(place(block));
            block.values.fill(i);
            kept.push({ block, value: i });
          }
        } else if (draw < 0.8 && kept.length > 0) {
          arena.giveBack(kept.splice(random.integer(kept.length), 1)[0]!.block);
        } else if (draw < 0.9 && readers.length < 6) {
          readers.push({ leave: arena.enter(), found: [...kept] });
        } else if (readers.length > 0) {
          readers.splice(random.integer(readers.length), 1)[0]!.leave();
        }
        expect(arena.bytes).toBeLessThanOrEqual(4000);
        for (const { block, value } of [...kept, ...readers.flatMap(({ found }) => found)]) {
          if (block.values.some((one) => one !== value)) throw new Error(`step ${i}: ${value} became ${block.values}`);
        }
      }
      expect(lentAgain).toBeGreaterThan(500);
    },
  );
});
