/**
 * What every environment must do, as data: each case takes a way to create the environment and throws where the
 * environment breaks the contract of src/envs/env.ts. Needs no test runner, so it also runs on a user's environment.
 */

import assert from 'node:assert/strict';
import { HyperpolicyError } from '../../src/contract/errors.ts';
import { createRandom } from '../../src/contract/random.ts';
import { specSize } from '../../src/contract/tensor-spec.ts';
import type { Env, StepResult } from '../../src/envs/env.ts';
import { stateRowOf } from '../../src/envs/state-row.ts';

export type EnvCase = {
  /** Behaviour, as a sentence that follows the environment's name. */
  readonly name: string;
  readonly check: (create: () => Promise<Env>) => Promise<void>;
};

/** Uniform actions inside the bounds, a function of the seed. */
function randomActions(env: Env, seed: number): () => Float32Array {
  const random = createRandom(seed, 9);
  const { low, high } = env.specs.action;
  return () =>
    Float32Array.from(low, (bound, i) => (bound ?? -1) + random.uniform() * ((high[i] ?? 1) - (bound ?? -1)));
}

type Frozen = Omit<StepResult, 'info'> & { readonly info: Record<string, number> };

const freeze = (result: StepResult): Frozen => ({
  ...result,
  observation: result.observation.slice(),
  info: { ...result.info },
});

/** Up to `count` steps under random actions; fewer where the episode ends. */
function roll(env: Env, seed: number, count: number): Frozen[] {
  const next = randomActions(env, seed);
  const results: Frozen[] = [];
  for (let i = 0; i < count; i++) {
    const result = freeze(env.step(next()));
    results.push(result);
    if (result.terminated || result.truncated) break;
  }
  return results;
}

function refusal(action: () => unknown, kind: HyperpolicyError['kind']): HyperpolicyError {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof HyperpolicyError, `expected a HyperpolicyError, got ${error}`);
    assert.equal(error.kind, kind, error.message);
    return error;
  }
  assert.fail(`expected a refusal of kind ${kind}, got none`);
}

/** A case that gets one environment and disposes it. */
const withEnv = (name: string, body: (env: Env, create: () => Promise<Env>) => void | Promise<void>): EnvCase => ({
  name,
  async check(create) {
    const env = await create();
    try {
      await body(env, create);
    } finally {
      env.dispose();
    }
  },
});

export const envCases: readonly EnvCase[] = [
  withEnv('names every value of its specs and keeps the bounds in order', (env) => {
    for (const spec of [env.specs.observation, env.specs.action, env.specs.context]) {
      if (spec === null) continue;
      const size = specSize(spec);
      assert.equal(new Set(spec.names).size, size, 'names are unique');
      for (const list of [spec.low, spec.high, spec.units]) assert.equal(list.length, size);
      spec.low.forEach((low, i) => {
        assert.ok(low === null || spec.high[i] === null || low < spec.high[i]!, `${spec.names[i]}: low < high`);
      });
    }
    assert.ok(Number.isSafeInteger(env.episodeStepCountMax) && env.episodeStepCountMax > 0);
    assert.ok(env.stepDurationS > 0);
    assert.equal(env.context?.length ?? 0, env.specs.context === null ? 0 : specSize(env.specs.context));
  }),

  withEnv('gives finite observations of the size that its spec says, and finite rewards', (env) => {
    const size = specSize(env.specs.observation);
    const start = env.reset(1);
    assert.equal(start.observation.length, size);
    assert.ok(start.observation.every(Number.isFinite));
    for (const { observation, reward, info } of roll(env, 1, 50)) {
      assert.equal(observation.length, size);
      assert.ok(observation.every(Number.isFinite));
      assert.ok(Number.isFinite(reward));
      assert.ok(Object.values(info).every(Number.isFinite));
    }
  }),

  withEnv('keeps observations within the bounds of its spec', (env) => {
    const { low, high, names } = env.specs.observation;
    const check = (observation: Float64Array) =>
      observation.forEach((value, i) => {
        assert.ok(value >= (low[i] ?? -Infinity) && value <= (high[i] ?? Infinity), `${names[i]}: ${value}`);
      });
    check(env.reset(2).observation);
    for (const { observation } of roll(env, 2, 200)) check(observation);
  }),

  withEnv('repeats an episode for the same seed and actions, also in another instance', async (env, create) => {
    const start = env.reset(3).observation.slice();
    const first = roll(env, 3, 40);
    assert.deepEqual(env.reset(3).observation.slice(), start);
    assert.deepEqual(roll(env, 3, 40), first);
    const other = await create();
    try {
      other.reset(99);
      roll(other, 99, 5);
      assert.deepEqual(other.reset(3).observation.slice(), start);
      assert.deepEqual(roll(other, 3, 40), first);
    } finally {
      other.dispose();
    }
  }),

  withEnv('starts differently for different seeds', (env) => {
    // Some start at one place but with another task.
    const starts = [4, 5, 6, 2 ** 53 - 1].map((seed) => [env.reset(seed).observation, env.context].join());
    assert.equal(new Set(starts).size, starts.length);
  }),

  withEnv('is not disturbed by another instance that runs between its steps', async (env, create) => {
    env.reset(7);
    const alone = roll(env, 7, 20);
    env.reset(7);
    const next = randomActions(env, 7);
    const others: Env[] = [];
    try {
      for (const expected of alone) {
        const other = await create();
        others.push(other);
        other.reset(others.length);
        roll(other, 8, 3);
        assert.deepEqual(freeze(env.step(next())), expected);
      }
    } finally {
      for (const other of others) other.dispose();
    }
  }),

  withEnv('continues exactly from a saved state, also in another instance', async (env, create) => {
    env.reset(10);
    roll(env, 10, 3);
    const state = structuredClone(env.save());
    const observation = state.arrays.observation?.slice();
    if (state.ended) return;
    const expected = roll(env, 11, 25);
    const restored = env.restore(state);
    if (observation !== undefined) assert.deepEqual(restored.slice(), observation);
    assert.deepEqual(roll(env, 11, 25), expected);
    const other = await create();
    try {
      other.restore(state);
      assert.deepEqual(roll(other, 11, 25), expected);
    } finally {
      other.dispose();
    }
  }),

  withEnv(
    'continues exactly from a row of its state, also after other episodes and in another instance',
    async (env, create) => {
      env.reset(19);
      roll(env, 19, 3);
      const rows = stateRowOf(env);
      const row = new Float64Array(rows.size);
      rows.write(row);
      const state = env.save();
      if (state.ended) return;
      const expected = roll(env, 20, 25);
      env.reset(99);
      roll(env, 99, 7);
      rows.read(row);
      assert.deepEqual(env.save(), state);
      assert.deepEqual(roll(env, 20, 25), expected);
      const other = await create();
      try {
        other.reset(98);
        roll(other, 98, 2);
        stateRowOf(other).read(row);
        assert.deepEqual(roll(other, 20, 25), expected);
      } finally {
        other.dispose();
      }
    },
  ),

  withEnv('saves a copy, which later steps do not change', (env) => {
    env.reset(12);
    const state = env.save();
    const copy = structuredClone(state);
    roll(env, 12, 5);
    assert.deepEqual(state, copy);
  }),

  withEnv('ends every episode within its step limit and tells termination from truncation', (env) => {
    env.reset(13);
    const results = roll(env, 13, env.episodeStepCountMax + 1);
    assert.ok(results.length <= env.episodeStepCountMax);
    const last = results.at(-1)!;
    assert.ok(last.terminated !== last.truncated, 'exactly one of terminated and truncated');
    assert.ok(results.slice(0, -1).every(({ terminated, truncated }) => !terminated && !truncated));
    if (last.truncated && !last.diverged) assert.equal(results.length, env.episodeStepCountMax);
  }),

  withEnv('refuses a step before the first reset and after the end', (env) => {
    const size = specSize(env.specs.action);
    const zero = new Float32Array(size);
    assert.match(refusal(() => env.step(zero), 'failed_precondition').message, /Call reset first/);
    env.reset(14);
    roll(env, 14, env.episodeStepCountMax);
    assert.match(refusal(() => env.step(zero), 'failed_precondition').message, /ended after/);
    env.reset(14);
    env.step(zero);
  }),

  withEnv('refuses an action of the wrong size or with NaN or infinity, and goes on unharmed', (env) => {
    const size = specSize(env.specs.action);
    env.reset(15);
    const expected = roll(env, 15, 4);
    env.reset(15);
    const wrong = refusal(() => env.step(new Float32Array(size + 1)), 'invalid_argument');
    assert.equal(wrong.message, `${env.name}.step: expected ${size} action values, got ${size + 1}`);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const action = new Float32Array(size);
      action[size - 1] = value;
      assert.match(refusal(() => env.step(action), 'invalid_argument').message, new RegExp(String(value)));
    }
    assert.deepEqual(roll(env, 15, 4), expected);
  }),

  withEnv('takes actions far outside their bounds without a value that is not finite', (env) => {
    env.reset(16);
    for (let i = 0; i < 20; i++) {
      const result = env.step(new Float32Array(specSize(env.specs.action)).fill(i % 2 === 0 ? 1e6 : -1e6));
      assert.ok(Number.isFinite(result.reward));
      assert.ok(result.observation.every(Number.isFinite));
      if (result.terminated || result.truncated) break;
    }
  }),

  withEnv('refuses unknown options, bad seeds and foreign states', (env) => {
    const options = { colour: 1 } as object;
    assert.match(refusal(() => env.reset(0, options), 'invalid_argument').message, /"colour"/);
    for (const seed of [-1, 0.5, Number.NaN, 2 ** 53]) refusal(() => env.reset(seed), 'invalid_argument');
    env.reset(17);
    const state = env.save();
    refusal(() => env.restore({ ...state, env: 'Elsewhere-v0' }), 'invalid_argument');
    refusal(() => env.restore({ ...state, arrays: {} }), 'invalid_argument');
  }),

  withEnv('takes a context where its specs have one, and refuses others', (env) => {
    const { context } = env.specs;
    if (context === null) {
      refusal(() => env.reset(0, { context: [0] }), 'invalid_argument');
      return;
    }
    const size = specSize(context);
    env.reset(18);
    const drawn = env.context!.slice();
    const start = env.reset(18, { context: drawn }).observation.slice();
    assert.deepEqual(env.reset(18).observation.slice(), start);
    assert.deepEqual(env.context!.slice(), drawn);
    refusal(() => env.reset(18, { context: new Float64Array(size + 1) }), 'invalid_argument');
    refusal(() => env.reset(18, { context: new Float64Array(size).fill(Number.NaN) }), 'invalid_argument');
  }),
];
