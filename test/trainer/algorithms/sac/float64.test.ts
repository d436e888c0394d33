/**
 * One update of the SAC learner against the same update computed a second time: in float64, without tfjs and ONNX, from the
 * definitions, for every critic and parameter by parameter.
 */

import { afterAll, describe, expect, test } from 'vitest';
import { createRandom } from '../../../../src/contract/random.ts';
import type { CriticConfig } from '../../../../src/nn/critics/registry.ts';
import { criticNames } from '../../../../src/nn/names.ts';
import { shapesOf } from '../../../../src/nn/parameters.ts';
import type { Trainable } from '../../../../src/optim/trainable.ts';
import type { SacConfig } from '../../../../trainer/algorithms/sac/config.ts';
import type { SacLearner } from '../../../../trainer/algorithms/sac/learner.ts';
import type { Batch } from '../../../../trainer/replay/batch.ts';
import { float64Critics, mlp, type Named } from '../../off-policy/critics.ts';
import {
  add,
  clip,
  columnsOf,
  differentiate,
  exp,
  type Matrix,
  matrix,
  mean,
  min,
  mul,
  scale,
  shift,
  softplus,
  square,
  sub,
  sumOfRows,
  tanh,
} from '../../off-policy/float64.ts';
import { randomBatch, smallConfig, smallLearner, specs } from './fixture.ts';

const batchSize = 4;
const actionSize = 3;

/** Small widths where an architecture has any; the others have their own. */
const configOf = (architecture: string): CriticConfig => ({
  architecture,
  ...(architecture.startsWith('mlp') && { hiddenSizes: architecture === 'mlp-small' ? [14] : [14, 10] }),
  ...(/hyper|features/.test(architecture) && { trunkSizes: [10, 12] }),
  ...(/hyper/.test(architecture) && { dynamicHiddenSizes: [8] }),
});

type Arrays = Readonly<Record<string, Float32Array>>;

/** Everything that an update reads, copied. */
function copyOf({ actor, critic, temperature }: SacLearner) {
  const copy = (views: Arrays) => Object.fromEntries(Object.entries(views).map(([name, view]) => [name, view.slice()]));
  const of = ({ parameters, target, adam, layout }: Trainable) => {
    const views = (flat: Float32Array) =>
      Object.fromEntries(layout.entries.map(({ name, offset, size }) => [name, flat.slice(offset, offset + size)]));
    return {
      parameters: copy(parameters),
      target: copy(target),
      moment1: views(adam.moment1),
      moment2: views(adam.moment2),
      stepCount: adam.stepCount,
      learningRate: adam.learningRate,
    };
  };
  return { actor: of(actor), critic: of(critic), temperature: of(temperature) };
}

type Before = ReturnType<typeof copyOf>;
type NetworkBefore = Before['actor'];

const matricesOf = (views: Arrays, shapes: Readonly<Record<string, readonly number[]>>): Named =>
  Object.fromEntries(Object.entries(views).map(([name, view]) => [name, matrix(view, shapes[name]!)]));

const memberOf = (parameters: Named, i: number): Named =>
  Object.fromEntries(
    Object.entries(parameters)
      .filter(([name]) => name.startsWith(`q${i}.`) || name.startsWith('shared.'))
      .map(([name, value]) => [name.replace(/^q\d+\./, ''), value]),
  );

/** The actor's action and log-density: tanh of a Gaussian sample. */
function drawAction(actor: Named, observation: Matrix, noise: Matrix): { action: Matrix; logProb: Matrix } {
  const output = mlp(actor, observation);
  const [meanOfU, raw] = [columnsOf(output, 0, actionSize), columnsOf(output, actionSize, 2 * actionSize)];
  const logStd = clip(raw, -20, 2);
  const u = add(meanOfU, mul(exp(logStd), noise));
  // log N(noise) - log std - 2 (log 2 - u - softplus(-2 u))
  const normal = sub(scale(square(noise), -0.5), shift(logStd, 0.5 * Math.log(2 * Math.PI)));
  const correction = scale(shift(sub(scale(u, -1), softplus(scale(u, -2))), Math.LN2), 2);
  return { action: tanh(u), logProb: sumOfRows(sub(normal, correction)) };
}

type Gradients = Readonly<Record<string, Float64Array>>;
const gradientsOf = (parameters: Named): Gradients =>
  Object.fromEntries(Object.entries(parameters).map(([name, { gradient }]) => [name, gradient.slice()]));

/** p - lr m^ / (sqrt(v^) + 1e-8), with the second moment's root beside it. */
function adam(
  before: NetworkBefore,
  gradients: Gradients,
): Record<string, { value: Float64Array; root: Float64Array }> {
  const t = before.stepCount + 1;
  return Object.fromEntries(
    Object.entries(gradients).map(([name, gradient]) => {
      const root = gradient.map((g, i) =>
        Math.sqrt((0.999 * before.moment2[name]![i]! + 0.001 * g * g) / (1 - 0.999 ** t)),
      );
      const value = gradient.map((g, i) => {
        const m = (0.9 * before.moment1[name]![i]! + 0.1 * g) / (1 - 0.9 ** t);
        return before.parameters[name]![i]! - (before.learningRate * m) / (root[i]! + 1e-8);
      });
      return [name, { value, root }];
    }),
  );
}

type Stepped = ReturnType<typeof adam>;
const valuesOf = (stepped: Stepped) =>
  Object.fromEntries(Object.entries(stepped).map(([name, { value }]) => [name, value]));

/** The whole update, in the order of the learner. */
function float64Update(
  { networks }: SacLearner,
  before: Before,
  batch: Batch,
  noises: { readonly next: Float32Array; readonly here: Float32Array },
  config: SacConfig,
) {
  const q = float64Critics[config.critic.architecture]!;
  const shapes = { actor: shapesOf(networks.policy.specs), critic: shapesOf(networks.critic.specs) };
  const rows = (values: ArrayLike<number>) => matrix(values, [batchSize, values.length / batchSize]);
  const { low, high } = specs.action;
  const normalised = Float64Array.from(batch.action, (value, i) => {
    const [from, to] = [low[i % actionSize]!, high[i % actionSize]!];
    return (value - (from + to) / 2) / ((to - from) / 2);
  });
  const [s, a, nextS] = [rows(batch.observation), rows(normalised), rows(batch.nextObservation)];
  const logAlpha = before.temperature.parameters.logAlpha![0]!;
  const alpha = Math.exp(logAlpha);
  const actor = matricesOf(before.actor.parameters, shapes.actor);

  const next = drawAction(actor, nextS, rows(noises.next));
  const target = matricesOf(before.critic.target, shapes.critic);
  const nextQ = min(q(memberOf(target, 0), nextS, next.action), q(memberOf(target, 1), nextS, next.action));
  const y = Float64Array.from(batch.reward, (reward, i) => {
    const soft = nextQ.data[i]! - alpha * next.logProb.data[i]!;
    return config.rewardScale * reward + config.gamma * (1 - batch.terminated[i]!) * soft;
  });
  const critic = matricesOf(before.critic.parameters, shapes.critic);
  const losses = [0, 1].map((i) => mean(square(sub(q(memberOf(critic, i), s, a), rows(y)))));
  differentiate(add(losses[0]!, losses[1]!));
  const criticGradients = gradientsOf(critic);
  const criticAfter = adam(before.critic, criticGradients);

  const newCritic = matricesOf(valuesOf(criticAfter) as unknown as Arrays, shapes.critic);
  const drawn = drawAction(actor, s, rows(noises.here));
  const smaller = min(q(memberOf(newCritic, 0), s, drawn.action), q(memberOf(newCritic, 1), s, drawn.action));
  differentiate(mean(sub(scale(drawn.logProb, alpha), smaller)));
  const actorGradients = gradientsOf(actor);
  // d/d log alpha of - mean (log alpha (log pi + H)), H = -A.
  const meanLogProb = drawn.logProb.data.reduce((sum, value) => sum + value, 0) / batchSize;
  const temperatureGradients = { logAlpha: Float64Array.of(-(meanLogProb - actionSize)) };
  return {
    critic: { gradients: criticGradients, after: criticAfter },
    actor: { gradients: actorGradients, after: adam(before.actor, actorGradients) },
    temperature: { gradients: temperatureGradients, after: adam(before.temperature, temperatureGradients) },
  };
}

const rootMeanSquare = (values: Float64Array) =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);

/** Of float32's products and sums, on the scale of a tensor's typical gradient. */
const gradientTolerance = 1e-4;

/** Largest error of each comparison, on its scale, over all parameters. */
function worstErrors(actual: Trainable, { gradients, after }: ReturnType<typeof float64Update>['critic']) {
  const worst = { gradient: 0, step: 0, moved: 0 };
  for (const [name, expected] of Object.entries(gradients)) {
    const typical = rootMeanSquare(expected);
    const { value, root } = after[name]!;
    const rate = actual.adam.learningRate;
    expected.forEach((gradient, i) => {
      const error = Math.abs(actual.gradients[name]![i]! - gradient);
      worst.gradient = Math.max(worst.gradient, error / Math.max(typical, Math.abs(gradient), 1e-30));
      // What such an error of the gradient makes of a step, beside the rounding of the parameter itself.
      const bound = rate * (1e-3 + (gradientTolerance * typical) / (root[i]! + 1e-8)) + 1e-7 * Math.abs(value[i]!);
      worst.step = Math.max(worst.step, Math.abs(actual.parameters[name]![i]! - value[i]!) / bound);
    });
    worst.moved = Math.max(worst.moved, typical);
  }
  return worst;
}

test('every critic has a second form', () => {
  expect(Object.keys(float64Critics)).toEqual(criticNames);
});

describe.each(criticNames)('an update with critic %s', (architecture) => {
  const config = { ...smallConfig(configOf(architecture)), batchSize, tau: 0.3 };
  const learner = smallLearner(config.critic, config);
  afterAll(() => learner.dispose());

  test('agrees in gradients, parameters, targets and temperature', () => {
    const random = createRandom(21);
    // Moments that are not zero: Adam's first step is the gradient's sign alone.
    for (let i = 0; i < 3; i++) learner.learn(randomBatch(i, batchSize), random);
    const before = copyOf(learner);
    const noises = { next: new Float32Array(batchSize * actionSize), here: new Float32Array(batchSize * actionSize) };
    const same = createRandom(21);
    same.position = random.position;
    same.fillNormal(noises.next);
    same.fillNormal(noises.here);
    const batch = randomBatch(7, batchSize);
    const expected = float64Update(learner, before, batch, noises, config);
    learner.learn(batch, random);
    for (const part of ['critic', 'actor', 'temperature'] as const) {
      const { gradient, step, moved } = worstErrors(learner[part], expected[part]);
      expect(gradient, `${part} gradients`).toBeLessThan(gradientTolerance);
      expect(step, `${part} after the step`).toBeLessThan(1);
      expect(moved, `${part} has a gradient`).toBeGreaterThan(1e-4);
    }
    let worst = 0;
    for (const [name, { value }] of Object.entries(expected.critic.after)) {
      const [target, former] = [learner.critic.target[name]!, before.critic.target[name]!];
      value.forEach((online, j) => {
        const followed = 0.7 * former[j]! + 0.3 * online;
        const bound = 1e-6 * (1 + Math.abs(followed)) + 1e-4 * learner.critic.adam.learningRate;
        worst = Math.max(worst, Math.abs(target[j]! - followed) / bound);
      });
    }
    expect(worst, 'targets').toBeLessThan(1);
    // Millions of parameters in plain loops, on a machine that may be busy.
  }, 240_000);
});
