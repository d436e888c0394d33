import { describe, expect, test } from 'vitest';
import type { GeneratedWeights } from '../../../server/weights/generated-weights.ts';
import { KeptWeights } from '../../../server/weights/kept-weights.ts';
import { startTestServer } from '../fixtures.ts';

const hyper = {
  model: 'hyper',
  policy: 'hyper',
  critic: 'hyper',
  observationSize: 3,
  actionSize: 2,
  contextSize: 2,
  hiddenSize: 8,
  trunkSizes: [16],
} as const;
const plain = {
  model: 'plain',
  policy: 'plain',
  critic: 'plain',
  observationSize: 3,
  actionSize: 2,
  hiddenSize: 8,
} as const;
const observation = [0.1, 0.2, 0.3];

describe('Prepare', () => {
  test('makes weights ahead, so that the request that needs them does not wait', async () => {
    const { client } = await startTestServer([hyper]);
    const contexts = [
      [1, 2],
      [3, 4],
      [1, 2],
    ];
    expect(await client.prepare({ model: 'hyper', context: contexts })).toMatchObject({
      version: 1,
      count: 2,
      generatedCount: 2,
    });
    expect(await client.prepare({ model: 'hyper', context: contexts })).toMatchObject({ count: 2, generatedCount: 0 });
    expect((await client.act({ model: 'hyper', observation, context: [3, 4] })).timing.primaryUs).toBe(0);
    await client.prepare({ model: 'hyper', observation });
    expect((await client.qGrad({ model: 'hyper', observation, action: [0, 0] })).timing.primaryUs).toBe(0);
  });

  test('pinned weights stay while others come and go; unpinned ones go', async () => {
    // 3x8 + 8 + 8 + 8x2 + 2 + 2 = 60 values and the overhead are 752 bytes: four entries fit, two may be pinned.
    const { client } = await startTestServer([hyper], { contextCacheBytesMax: 4 * 752 });
    await client.prepare({
      model: 'hyper',
      context: [
        [1, 1],
        [2, 2],
      ],
      pinning: 'pin',
    });
    await expect(client.prepare({ model: 'hyper', context: [3, 3], pinning: 'pin' })).rejects.toMatchObject({
      kind: 'resource_exhausted',
      message:
        'pinned weights: expected at most 1504 bytes, half of the cache, got 2256. Unpin others, or make the cache larger',
    });
    const flood = async () => {
      for (let i = 10; i < 20; i++) await client.act({ model: 'hyper', observation, context: [i, i] });
    };
    const waits = async (value: number) =>
      (await client.prepare({ model: 'hyper', context: [value, value] })).generatedCount > 0;
    await flood();
    expect(await waits(1)).toBe(false);
    await client.prepare({ model: 'hyper', context: [1, 1], pinning: 'unpin' });
    await flood();
    expect([await waits(1), await waits(2)]).toEqual([true, false]);
  });

  test.each([
    [{ model: 'hyper' }, 'Prepare target: expected contexts or observations, got neither'],
    [
      { model: 'plain', context: [1] },
      'Prepare context: expected a model with a policy whose weights are generated, got "plain"',
    ],
    [
      { model: 'plain', observation },
      'Prepare observation: expected a model with a critic whose weights are generated, got "plain"',
    ],
    [{ model: 'hyper', context: [1] }, 'Prepare context: expected 2 values per row for model "hyper", got shape [1]'],
    [{ model: 'nope' }, 'Prepare model: expected one of "hyper", "plain", got "nope"'],
  ])('%j is refused', async (request, message) => {
    const { client } = await startTestServer([hyper, plain]);
    await expect(client.prepare(request)).rejects.toThrow(message);
  });
});

describe('pins and expiry of the cache', () => {
  const weights = (bytes: number): GeneratedWeights => ({ block: new Float32Array(0), bytes });

  test('an entry expires, a pinned one does not', () => {
    let nowMs = 0;
    const cache = new KeptWeights({ bytesMax: 100, timeToLiveMs: 10, clock: () => nowMs });
    cache.insert(['a', 'b'], [weights(1), weights(1)]);
    cache.pin(['b'], [weights(1)]);
    nowMs = 9;
    expect(cache.get('a')).toBeDefined();
    nowMs = 10;
    expect([cache.get('a'), cache.get('b') !== undefined]).toEqual([undefined, true]);
    expect(cache.entryCount).toBe(1);
  });

  test('refuses all of a request or nothing, and counts what is pinned already once', () => {
    const cache = new KeptWeights({ bytesMax: 100 });
    cache.pin(['a'], [weights(30)]);
    cache.pin(['a', 'b'], [weights(30), weights(20)]);
    expect(() => cache.pin(['b', 'c'], [weights(20), weights(1)])).toThrow('at most 50 bytes');
    expect([cache.get('c'), cache.bytes]).toEqual([undefined, 50]);
  });

  test('a version that is gone takes its pins along', () => {
    const cache = new KeptWeights({ bytesMax: 100 });
    cache.pin(['1/a', '2/a'], [weights(10), weights(10)]);
    cache.dropVersion('1/');
    expect([cache.get('1/a'), cache.bytes]).toEqual([undefined, 10]);
  });
});

describe('ascent', () => {
  test.each(['plain', 'hyper'])('of a %s critic climbs as single requests do, within the bounds', async (model) => {
    const { client } = await startTestServer([hyper, plain]);
    const action = [
      [0.1, -0.2],
      [0.99, 0.99],
      [0, 0],
    ];
    const [stepCount, stepSize] = [5, 0.1];
    const climbed = await client.qGrad({ model, observation, action, ascent: { stepCount, stepSize } });
    let at = Float32Array.from(action.flat());
    for (let step = 0; step < stepCount; step++) {
      const { dqDa } = await client.qGrad({ model, observation, action: { shape: [3, 2], values: at } });
      at = at.map((value, i) => Math.min(1, Math.max(-1, value + stepSize * dqDa.values[i]!)));
    }
    expect(climbed.action!.shape).toEqual([3, 2]);
    for (const [i, value] of climbed.action!.values.entries()) expect(value).toBeCloseTo(at[i]!, 5);
    const end = await client.qGrad({ model, observation, action: climbed.action! });
    expect(climbed.q.values[0]).toBeCloseTo(end.q.values[0]!, 5);
    const start = await client.qGrad({ model, observation, action });
    expect(climbed.q.values[0]).toBeGreaterThan(start.q.values[0]!);
    expect(start.action).toBeUndefined();
  });

  test.each([
    [{ stepCount: 0, stepSize: 1 }, 'QGrad ascent: expected 1 to 10 steps, got 0'],
    [{ stepCount: 11, stepSize: 1 }, 'QGrad ascent: expected 1 to 10 steps, got 11'],
    [{ stepCount: 1, stepSize: 0 }, 'QGrad ascent: expected a finite step_size above 0, got 0'],
    [
      { stepCount: 1, stepSize: Number.POSITIVE_INFINITY },
      'QGrad ascent: expected a finite step_size above 0, got Infinity',
    ],
  ])('%j is refused', async (ascent, message) => {
    const { client } = await startTestServer([plain], { ascentStepCountMax: 10 });
    await expect(client.qGrad({ model: 'plain', observation, action: [0, 0], ascent })).rejects.toThrow(message);
  });
});
