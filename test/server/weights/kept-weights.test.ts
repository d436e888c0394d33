import { describe, expect, test } from 'vitest';
import type { GeneratedWeights } from '../../../server/weights/generated-weights.ts';
import { KeptWeights } from '../../../server/weights/kept-weights.ts';
import { BlockArena } from '../../../src/memory/block-arena.ts';

const weights = (bytes: number): GeneratedWeights => ({ block: new Float32Array(0), bytes });

describe('kept weights', () => {
  test('drops what was used longest ago when the budget is over', () => {
    const cache = new KeptWeights({ bytesMax: 100 });
    cache.insert(['a', 'b'], [weights(40), weights(40)]);
    cache.get('a');
    cache.insert(['c'], [weights(40)]);
    expect(['a', 'b', 'c'].map((key) => cache.get(key) !== undefined)).toEqual([true, false, true]);
    expect({ bytes: cache.bytes, entries: cache.entryCount }).toEqual({ bytes: 80, entries: 2 });
    // Reads: a, then a b c; b misses.
    expect(cache.counts).toEqual({ hitCount: 3, missCount: 1, evictionCount: 1 });
  });

  test('never holds more than its budget, whatever comes', () => {
    const cache = new KeptWeights({ bytesMax: 1000 });
    for (let i = 0; i < 500; i++) {
      cache.insert([`${i % 37}`], [weights(1 + ((i * 7919) % 400))]);
      expect(cache.bytes).toBeLessThanOrEqual(1000);
    }
  });

  test('does not keep an entry that is larger than the whole budget', () => {
    const cache = new KeptWeights({ bytesMax: 10 });
    cache.insert(['a'], [weights(5)]);
    cache.insert(['b'], [weights(11)]);
    expect(cache.get('a')).toBeDefined();
    expect(cache.get('b')).toBeUndefined();
  });

  test('tells the keys of a version that were used last, of half of the budget', () => {
    const cache = new KeptWeights({ bytesMax: 100 });
    for (const key of ['1/a', '1/b', '2/a', '1/c', '1/d']) cache.insert([key], [weights(12)]);
    cache.get('1/a');
    cache.pin(['1/p'], [weights(12)]);
    expect(cache.newestKeys('1/', 3)).toEqual(['1/d', '1/a', '1/p']);
    expect(cache.newestKeys('1/', 10)).toEqual(['1/c', '1/d', '1/a', '1/p']);
    expect(cache.newestKeys('3/', 10)).toEqual([]);
    expect(cache.counts).toMatchObject({ hitCount: 1, missCount: 0 });
  });

  test('replacing an entry counts its bytes once', () => {
    const cache = new KeptWeights({ bytesMax: 100 });
    cache.insert(['a'], [weights(30)]);
    cache.insert(['a'], [weights(50)]);
    expect(cache.bytes).toBe(50);
  });

  test('forgets a version and no other', () => {
    const cache = new KeptWeights({ bytesMax: 100 });
    cache.insert(['1/a', '10/a'], [weights(1), weights(1)]);
    cache.dropVersion('1/');
    expect([cache.get('1/a'), cache.get('10/a') !== undefined]).toEqual([undefined, true]);
  });

  test('a key that is pinned twice at once counts once', () => {
    const cache = new KeptWeights({ bytesMax: 100 });
    const own = weights(30);
    cache.pin(['a', 'a'], [own, own]);
    expect([cache.bytes, cache.entryCount]).toEqual([30, 1]);
  });

  test.each(['kept', 'pinned'])('weights that are %s and come again keep their block', (how) => {
    const arena = new BlockArena(40);
    const lent = arena.take(10)!;
    const own: GeneratedWeights = { ...weights(40), block: lent.values, lent };
    const cache = new KeptWeights({ bytesMax: 100, arena });
    cache.insert(['a'], [own]);
    if (how === 'pinned') cache.pin(['a'], [own]);
    cache.insert(['a'], [own]);
    // Nobody else is given its memory, which has room for this block only.
    expect(arena.take(10)).toBeUndefined();
    expect(cache.get('a')).toBe(own);
    cache.dropVersion('a');
    expect(arena.take(10)).toBeDefined();
  });
});
