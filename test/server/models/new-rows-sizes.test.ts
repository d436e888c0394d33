/** Every kind of package whose weights are generated, with few and many rows: new ones fused, known ones kept, and both in one request, answer alike. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRandom } from '../../../src/contract/random.ts';
import { kinds, sizes } from '../../bench/device/kinds.ts';
import { metricLines, startTestServer, type TestServer } from '../fixtures.ts';

const rowCounts = [1, 2, 255, 256, 257, 2048];
const tolerance = 1e-5;
const generated = Object.entries(kinds).filter(([, options]) => [options.policy, options.critic].includes('hyper'));
const packages = generated.map(([, options], i) => ({
  model: `model${i}`,
  ...{ ...sizes, hiddenSize: 24, trunkSizes: [32] },
  ...options,
}));

const random = createRandom(11);
const normals = (rowCount: number, size: number) => ({
  shape: [rowCount, size],
  values: Float32Array.from({ length: rowCount * size }, () => random.normal()),
});
type Rows = ReturnType<typeof normals>;

/** As many rows as the first, of which the last ones are the second's. */
const mixed = (first: Rows, second: Rows, count: number): Rows => {
  const values = first.values.slice();
  const from = values.length - count * first.shape[1]!;
  values.set(second.values.subarray(from), from);
  return { shape: first.shape, values };
};

/** The largest |a - b| / (1 + the largest |b|). */
const difference = (actual: Float32Array, expected: Float32Array): number => {
  const largest = (values: Float32Array) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return largest(expected.map((value, i) => value - actual[i]!)) / (1 + largest(expected));
};

let fused: TestServer;
let kept: TestServer;
beforeAll(async () => {
  fused = await startTestServer(packages, { newRows: 'fused' }, afterAll);
  kept = await startTestServer(packages, {}, afterAll);
});

/** Rows that `ask` has run fused. */
async function fusedRows(network: 'policy' | 'critic', ask: () => Promise<unknown>): Promise<number> {
  const name = `hyperpolicy_batch_rows_sum{graph="${network}.fused"}`;
  const count = async () => (await metricLines(fused, name))[name] ?? 0;
  const before = await count();
  await ask();
  return (await count()) - before;
}

/** Contexts or observations that are new, asked again, and known; then with few known ones among new ones, and few new ones among known. */
async function compare(
  network: 'policy' | 'critic',
  size: number,
  answer: (rows: Rows, on: TestServer) => Promise<Float32Array[]>,
) {
  for (const rowCount of rowCounts) {
    const agrees = async (rows: Rows) => {
      const [actual, expected] = [await answer(rows, fused), await answer(rows, kept)];
      expected.forEach((values, i) => {
        expect(values.some((value) => value !== 0)).toBe(true);
        expect(difference(actual[i]!, values), `${rowCount} rows`).toBeLessThan(tolerance);
      });
    };
    const [rows, others, more] = [normals(rowCount, size), normals(rowCount, size), normals(rowCount, size)];
    expect(await fusedRows(network, () => agrees(rows)), `${rowCount} new rows`).toBe(rowCount);
    for (const time of ['again', 'known']) expect(await fusedRows(network, () => agrees(rows)), time).toBe(0);
    const few = Math.floor(rowCount / 4);
    if (few === 0) continue;
    expect(await fusedRows(network, () => agrees(mixed(others, rows, few))), 'mostly new').toBe(rowCount);
    expect(await fusedRows(network, () => agrees(mixed(rows, more, few))), 'mostly known').toBe(0);
  }
}

/** Kinds by name, with their models. */
const kindsWith = (network: 'policy' | 'critic') =>
  generated.flatMap(([kind, options], i) => (options[network] === 'hyper' ? [{ kind, model: `model${i}` }] : []));

test.each(kindsWith('policy'))('actions of a $kind', { timeout: 120_000 }, ({ model }) =>
  compare('policy', sizes.contextSize, async (context, { client }) => {
    const observation = madeOf(context, sizes.observationSize);
    return [(await client.act({ model, observation, context })).action.values];
  }),
);

describe.each(kindsWith('critic'))('values and gradients of a $kind', ({ model }) => {
  test.each(['q1', 'min', 'mean'] as const)('reduction %s', { timeout: 120_000 }, (reduction) =>
    compare('critic', sizes.observationSize, async (observation, { client }) => {
      const action = madeOf(observation, sizes.actionSize);
      const { q, dqDa } = await client.qGrad({ model, observation, action, reduction });
      return [q.values, dqDa.values];
    }),
  );
});

/** Rows made of other rows, so that both servers are asked the same. */
function madeOf({ shape, values }: Rows, size: number): Rows {
  const rowCount = shape[0]!;
  const made = Float32Array.from({ length: rowCount * size }, (_, i) => Math.sin(i + values[i % values.length]!));
  return { shape: [rowCount, size], values: made };
}
