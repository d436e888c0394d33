import { expect, test } from 'vitest';
import { metricLines, startTestServer } from '../fixtures.ts';

test('a plain policy gives a row the same action alone, beside others, and in a batch that the pool runs', async () => {
  const sizes = { observationSize: 20, actionSize: 4, hiddenSize: 256 };
  const server = await startTestServer([
    { model: 'wide', policy: 'plain', critic: 'none', contextSize: 3, stochastic: true, ...sizes },
    { model: 'hyper', policy: 'hyper', critic: 'none', contextSize: 3, ...sizes },
  ]);
  const rows = (count: number, size: number) =>
    Array.from({ length: count }, (_, row) => Array.from({ length: size }, (_, i) => Math.sin(row + 7 * i)));
  const act = async (model: string, count: number) =>
    (await server.client.act({ model, observation: rows(count, 20), context: rows(count, 3) })).action.values;
  const pooledRuns = async () =>
    Object.values(await metricLines(server, 'hyperpolicy_heavy_run_seconds_count{graph="policy.onnx"'))[0] ?? 0;
  const all = await act('wide', 4096);
  // (23 x 256 + 256 x 256 + 256 x 8) multiplications a row are 73,472; 2^22 / 73,472 = 57.09.
  for (const [count, isPooled] of [
    [1, false],
    [3, false],
    [57, false],
    [58, true],
  ] as const) {
    const before = await pooledRuns();
    const few = await act('wide', count);
    expect(few).toHaveLength(count * 4);
    const most = few.reduce((least, value, i) => Math.max(least, Math.abs(value - all[i]!)), 0);
    expect(most).toBeLessThan(1e-5);
    expect((await pooledRuns()) - before).toBe(isPooled ? 1 : 0);
  }
  // The weights of the other are generated: its rows run one by one always.
  const many = await act('hyper', 4096);
  expect(await act('hyper', 5)).toEqual(many.slice(0, 20));
});
