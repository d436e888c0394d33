import { describe, expect, test } from 'vitest';
import { ContextCache, type Request } from '../../../server/weights/context-cache.ts';
import type { GeneratedWeights } from '../../../server/weights/generated-weights.ts';

const weights = (bytes: number): GeneratedWeights => ({ block: new Float32Array(0), bytes });

/** A generation that the test settles. */
function deferred() {
  let resolve: (made: GeneratedWeights[]) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<GeneratedWeights[]>((accept, refuse) => {
    resolve = accept;
    reject = refuse;
  });
  return { promise, resolve, reject };
}

/** Of a request that finds what it asks for, or somebody who makes it. */
const never = {
  generate: () => Promise.reject(new Error('generated again')),
  demand: { deadlineMs: 5, isGone: false },
};

const ask = (cache: ContextCache, keys: readonly string[], request: Request) =>
  cache.complete(keys, cache.lookUp(keys), request);

describe('the context cache', () => {
  test('announces a generation until it is done, then keeps its result', async () => {
    const cache = new ContextCache({ bytesMax: 100 });
    const made = [weights(1), weights(2)];
    const { promise, resolve } = deferred();
    const asked = ask(cache, ['a', 'b'], {
      generate: () => promise,
      demand: { deadlineMs: 5, isGone: false },
    });
    expect(cache.inFlightCount).toBe(2);
    const waiting = ask(cache, ['b'], never);
    resolve(made);
    expect((await waiting).entries[0]).toBe(made[1]);
    expect((await asked).entries).toEqual(made);
    expect(cache.inFlightCount).toBe(0);
    expect(cache.kept.get('b')).toBe(made[1]);
  });

  test('a generation that fails fails its waiters and leaves nothing behind', async () => {
    const cache = new ContextCache({ bytesMax: 100 });
    const { promise, reject } = deferred();
    const asked = Promise.resolve(
      ask(cache, ['a'], { generate: () => promise, demand: { deadlineMs: 5, isGone: false } }),
    );
    const waiting = Promise.resolve(ask(cache, ['a'], never));
    const failures = Promise.allSettled([asked, waiting]);
    reject(new Error('no memory'));
    await expect(waiting).rejects.toThrow('no memory');
    expect((await failures).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect([cache.inFlightCount, cache.kept.get('a'), cache.kept.bytes]).toEqual([0, undefined, 0]);
  });

  test('makes together what is neither kept nor under way, and says how many were not kept', async () => {
    const cache = new ContextCache({ bytesMax: 100 });
    const asked: (readonly number[])[] = [];
    const request = {
      generate: async (places: readonly number[]) => {
        asked.push(places);
        return places.map(() => weights(1));
      },
      demand: { deadlineMs: 5, isGone: false },
    };
    await ask(cache, ['b'], request);
    const first = ask(cache, ['a'], request);
    const batch = await ask(cache, ['a', 'b', 'c', 'd'], request);
    expect(asked).toEqual([[0], [0], [2, 3]]);
    expect(batch.missingCount).toBe(3);
    expect(batch.entries[0]).toBe((await first).entries[0]);
    expect(ask(cache, ['d', 'a'], never)).toEqual({ entries: [batch.entries[3], batch.entries[0]] });
    expect(cache.kept.counts).toEqual({ hitCount: 3, missCount: 5, evictionCount: 0 });
  });

  test('what is learnt ahead of requests is neither a hit nor a miss', async () => {
    const cache = new ContextCache({ bytesMax: 100 });
    await cache.prefetch(['a'], { generate: async () => [weights(1)], demand: { deadlineMs: 5, isGone: false } });
    expect(cache.kept.counts).toEqual({ hitCount: 0, missCount: 0, evictionCount: 0 });
    expect(ask(cache, ['a'], never)).not.toBeInstanceOf(Promise);
  });
});
