/** Every critic: its parameter count in closed form, and what it says of wrong names and shapes. */

import '../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { type Critic, ensembleQ, memberQ } from '../../src/nn/critics/critic.ts';
import { createCritic } from '../../src/nn/critics/registry.ts';
import { criticNames } from '../../src/nn/names.ts';
import { parameterCount, shapesOf } from '../../src/nn/parameters.ts';
import { trace } from '../../src/trace/trace.ts';

/** Parameters of a linear layer from i to o. */
const lin = (i: number, o: number) => i * o + o;

/** A stage: a linear layer to its width and two blocks of two layers each. */
const stage = (i: number, o: number) => lin(i, o) + 4 * lin(o, o);
const trunk = (meta: number) => stage(meta, 256) + stage(256, 512) + stage(512, 1024);
/** Heads of base -> 256 -> 1 from 1024 values: weight, gain and bias of both layers. */
const heads = (base: number) => lin(1024, base * 256) + 2 * lin(1024, 256) + lin(1024, 256) + 2 * lin(1024, 1);

/** One Q function with o observations and a actions. */
const closedForms: Record<string, (o: number, a: number) => number> = {
  'mlp-standard': (o, a) => lin(o + a, 256) + lin(256, 256) + lin(256, 1),
  'mlp-small': (o, a) => lin(o + a, 256) + lin(256, 1),
  'mlp-large': (o, a) => lin(o + a, 2900) + lin(2900, 2900) + lin(2900, 1),
  'resnet-features': (o, a) => trunk(o) + lin(1024, 10) + lin(10 + a, 256) + lin(256, 1),
  resnet35: (o, a) => lin(o + a, 256) + 70 * lin(256, 256) + lin(256, 1),
  'q-d2rl': (o, a) => lin(o + a, 256) + 3 * lin(256 + o + a, 256) + lin(256, 1),
  'sa-hyper': (o, a) => trunk(o) + heads(a),
  'as-hyper': (o, a) => trunk(a) + heads(o),
  'emb-hyper': (o, a) => trunk(5) + heads(o + a),
};

describe.each(Object.entries(closedForms))('%s', (architecture, count) => {
  // Hopper; Walker2d and HalfCheetah; the 111-value Ant.
  test.each([
    [11, 3],
    [17, 6],
    [111, 8],
  ])('has the parameters of the closed form with %i observations and %i actions', (observationSize, actionSize) => {
    const twins = createCritic({ architecture }, { observationSize, actionSize, ensembleSize: 2 });
    // The embedding is one for both.
    const shared = architecture === 'emb-hyper' ? 5 : 0;
    expect(parameterCount(twins.specs)).toBe(2 * count(observationSize, actionSize) + shared);
  });
});

/** Millions of parameters of one Q function, and the paper's rounding. */
test.each([
  ['sa-hyper', 11, 3, 7.75, 0.005],
  ['sa-hyper', 17, 6, 8.54, 0.005],
  ['sa-hyper', 111, 8, 9.09, 0.005],
  ['resnet35', 17, 6, 4.6, 0.05],
])(
  '%s has the total of the paper with %i observations and %i actions',
  (name, observationSize, actionSize, millions, rounding) => {
    const critic = createCritic({ architecture: name }, { observationSize, actionSize, ensembleSize: 1 });
    expect(Math.abs(parameterCount(critic.specs) / 1e6 - millions)).toBeLessThan(rounding);
  },
);

test('the trunk has 6.17 million parameters with 17 observations', () => {
  const { specs } = createCritic({ architecture: 'sa-hyper' }, { observationSize: 17, actionSize: 6, ensembleSize: 1 });
  const inTrunk = Object.entries(specs).filter(([name]) => name.startsWith('q0.primary.'));
  expect(parameterCount(Object.fromEntries(inTrunk)) / 1e6).toBeCloseTo(6.17, 2);
});

test.each(['mlp-small', 'q-d2rl', 'sa-hyper', 'emb-hyper'])('%s takes one context for all rows', (architecture) => {
  const config = architecture.endsWith('hyper') ? { architecture, trunkSizes: [4] } : { architecture };
  const critic = createCritic(config, { observationSize: 3, actionSize: 2, contextSize: 2, ensembleSize: 2 });
  const draw = (shape: readonly number[], seed: number) => tf.randomNormal([...shape], 0, 0.3, 'float32', seed);
  const drawn = (shapes: Readonly<Record<string, readonly number[]>>) =>
    Object.fromEntries(Object.entries(shapes).map(([name, shape], i) => [name, draw(shape, 3 + i)]));
  tf.tidy(() => {
    const [observation, action] = [draw([4, 3], 1) as tf.Tensor2D, draw([4, 2], 2) as tf.Tensor2D];
    const context = tf.tensor2d([[0.3, -0.7]]);
    const { stacks = [] } = critic;
    for (const shapes of [shapesOf(critic.specs), Object.fromEntries(stacks.map(({ name, shape }) => [name, shape]))]) {
      if (Object.keys(shapes).length === 0) continue;
      const parameters = drawn(shapes);
      const q = (of: tf.Tensor2D) => [...ensembleQ(critic, parameters, observation, action, of).dataSync()];
      expect(q(context)).toEqual(q(tf.tile(context, [4, 1])));
    }
  });
});

describe('misuse', () => {
  const critic = createCritic({ architecture: 'mlp-small' }, { observationSize: 3, actionSize: 2, ensembleSize: 1 });
  const withContext = createCritic(
    { architecture: 'sa-hyper', trunkSizes: [4] },
    { observationSize: 3, actionSize: 2, contextSize: 5, ensembleSize: 1 },
  );

  /** Traces q of zeros of these shapes. */
  const evaluate = (of: Critic, observation: [number, number], action: [number, number], context?: [number, number]) =>
    trace('q', {}, () => {
      const parameters = Object.fromEntries(
        Object.entries(shapesOf(of.specs)).map(([name, shape]) => [name, tf.zeros([...shape])]),
      );
      const zeros = (shape: [number, number]) => tf.zeros(shape) as tf.Tensor2D;
      return { q: memberQ(of, 0, parameters, zeros(observation), zeros(action), context && zeros(context)) };
    });

  test('an unknown architecture is refused with the known ones', () => {
    expect(() => createCritic({ architecture: 'sa' }, { observationSize: 1, actionSize: 1, ensembleSize: 2 })).toThrow(
      `critic: expected one of ${criticNames.join(', ')}, got "sa"`,
    );
  });

  test('an unknown initialisation is refused with the known ones', () => {
    const config = { architecture: 'sa-hyper', initialisation: 'xavier' as 'hfi' };
    expect(() => createCritic(config, { observationSize: 1, actionSize: 1, ensembleSize: 2 })).toThrow(
      'hypernetwork: expected an initialisation of hyperl, default, bias-hyperinit, weight-hyperinit, hfi, got "xavier"',
    );
  });

  test('shapes that do not fit are named, both sides', () => {
    expect(() => evaluate(critic, [4, 3], [4, 1])).toThrow(
      'critic mlp-small: expected observation [B, 3], action [B, 2], no context, got observation [4, 3], action [4, 1], no context',
    );
    expect(() => evaluate(critic, [4, 3], [5, 2])).toThrow('got observation [4, 3], action [5, 2], no context');
    expect(() => evaluate(withContext, [4, 3], [4, 2])).toThrow(
      'critic sa-hyper: expected observation [B, 3], action [B, 2], context [B, 5], got observation [4, 3], action [4, 2], no context',
    );
    expect(() => evaluate(withContext, [4, 3], [4, 2], [4, 5])).not.toThrow();
  });
});
