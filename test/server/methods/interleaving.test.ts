/**
 * A property: an answer depends on its request alone. Whatever else is asked at the same time, over which door, with which rows and
 * contexts, and whether weights are made, joined or known: it is the answer that the same request gets from a server of its own.
 */

import { describe, expect, onTestFinished, test } from 'vitest';
import type { ActOptions } from '../../../clients/typescript/act.ts';
import { createPolicyClient, type PolicyClient } from '../../../clients/typescript/client.ts';
import type { QGradOptions } from '../../../clients/typescript/q-grad.ts';
import { createRandom, type Random } from '../../../src/contract/random.ts';
import { startTestServer, temporaryStore } from '../fixtures.ts';

const sizes = { observationSize: 5, actionSize: 3, hiddenSize: 16, trunkSizes: [32] } as const;
const packages = [
  { model: 'plain', policy: 'plain', critic: 'plain', ...sizes },
  { model: 'contextual', policy: 'plain', critic: 'none', contextSize: 2, stochastic: true, ...sizes },
  { model: 'hyper', policy: 'hyper', critic: 'hyper', contextSize: 2, ...sizes },
  { model: 'sampled', policy: 'hyper', critic: 'none', contextSize: 2, stochastic: true, ...sizes },
] as const;

/**
 * Sums in another order: a batch of another size takes another path through the kernels of the primary and of critics. Relative to
 * the largest value of the answer, which is about 1.
 */
const tolerance = 1e-5;

type Asked =
  | { readonly kind: 'act' | 'stream'; readonly options: ActOptions }
  | { readonly kind: 'q-grad'; readonly options: QGradOptions };
type Answer = Readonly<Record<string, Float32Array>>;

function drawRequest(random: Random): Asked {
  const one = <T>(list: readonly T[]): T => list[random.integer(list.length)]!;
  const rows = (rowCount: number, size: number) =>
    Array.from({ length: rowCount }, () => Array.from({ length: size }, () => random.normal()));
  // Few rows are joined with others, many are not; 1 and 16 are at the edges.
  const rowCount = one([1, 1, 1, 2, 3, 7, 16, 17, 40]);
  const observation = rows(rowCount, sizes.observationSize);
  if (random.uniform() < 0.25) {
    const action = rows(rowCount, sizes.actionSize);
    const reduction = one(['q1', 'min', 'mean'] as const);
    const ascent = random.uniform() < 0.2 ? { ascent: { stepCount: 3, stepSize: 0.05 } } : {};
    return { kind: 'q-grad', options: { model: one(['plain', 'hyper']), observation, action, reduction, ...ascent } };
  }
  const { model, ...about } = one(packages);
  // A few contexts that come again and again, and some that come once.
  const context = () => (random.uniform() < 0.7 ? [random.integer(4), 1] : [random.normal(), random.normal()]);
  const given = 'contextSize' in about && {
    context: random.uniform() < 0.5 ? context() : Array.from({ length: rowCount }, context),
  };
  const sample = 'stochastic' in about &&
    random.uniform() < 0.6 && { sample: true, seed: random.integer(1000), logProb: true };
  return { kind: one(['act', 'act', 'stream']), options: { model, observation, ...given, ...sample } };
}

async function ask(client: PolicyClient, { kind, options }: Asked): Promise<Answer> {
  if (kind === 'q-grad') {
    const { q, dqDa, action } = await client.qGrad(options as QGradOptions);
    return { q: q.values, dqDa: dqDa.values, ...(action && { action: action.values }) };
  }
  const { model, ...rest } = options as ActOptions;
  if (kind === 'act') return answerOf(await client.act({ model, ...rest }));
  const stream = client.actStream({ model });
  const answer = answerOf(await stream.act(rest));
  await stream.close();
  return answer;
}

const answerOf = ({ action, logProb }: Awaited<ReturnType<PolicyClient['act']>>): Answer => ({
  action: action.values,
  ...(logProb && { logProb: logProb.values }),
});

/** The largest difference, relative to 1 + the value; infinite where the shapes differ. */
function difference(actual: Answer, expected: Answer): number {
  let most = 0;
  for (const [name, values] of Object.entries(expected)) {
    const other = actual[name];
    if (other?.length !== values.length) return Number.POSITIVE_INFINITY;
    values.forEach((value, i) => {
      most = Math.max(most, Math.abs(other[i]! - value) / (1 + Math.abs(value)));
    });
  }
  return most;
}

const requestCount = 300;

/** A client that waits: what is late on a busy machine is no other answer. */
function patient(address: string): PolicyClient {
  const client = createPolicyClient({ address, timeoutMs: 60_000 });
  onTestFinished(() => client.close());
  return client;
}

describe('any interleaving', () => {
  test.each([1, 2, 3])('of requests gives the answers of one at a time (seed %i)', async (seed) => {
    const store = await temporaryStore(packages);
    const random = createRandom(seed);
    const asked = Array.from({ length: requestCount }, () => drawRequest(random));
    // One at a time, and nothing kept: each answer is made for its request alone.
    const alone = await startTestServer([], { store, contextCacheBytesMax: 0, criticCacheBytesMax: 0 });
    const expected: Answer[] = [];
    const single = patient(alone.address);
    for (const one of asked) expected.push(await ask(single, one));

    // Many at a time, in another order, with caches of a few entries, so that hits, misses, joint generations and evictions mix.
    const together = await startTestServer([], {
      store,
      contextCacheBytesMax: 40_000,
      criticCacheBytesMax: 40_000,
      batchRowCountMax: 16,
    });
    const client = patient(together.address);
    const order = asked.map((_, i) => i).sort(() => random.uniform() - 0.5);
    const differences: number[] = [];
    const callers = Array.from({ length: 24 }, async () => {
      for (let i = order.pop(); i !== undefined; i = order.pop()) {
        differences.push(difference(await ask(client, asked[i]!), expected[i]!));
        if (random.uniform() < 0.2) await new Promise((resolve) => setImmediate(resolve));
      }
    });
    await Promise.all(callers);
    expect(differences).toHaveLength(requestCount);
    expect(Math.max(...differences)).toBeLessThanOrEqual(tolerance);
  });

  test('what is known gives bit for bit what was made', async () => {
    const store = await temporaryStore(packages);
    const client = patient((await startTestServer([], { store })).address);
    const random = createRandom(4);
    for (let i = 0; i < 100; i++) {
      const one = drawRequest(random);
      const made = await ask(client, one);
      expect(difference(await ask(client, one), made)).toBe(0);
    }
  });
});
