/** Twins and larger ensembles evaluated at once, from stacks of their parameters, against one member after the other. */

import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { ensembleQ } from '../../src/nn/critics/critic.ts';
import { createCritic } from '../../src/nn/critics/registry.ts';
import { initialise, shapesOf, under } from '../../src/nn/parameters.ts';
import { createTrainable } from '../../src/optim/trainable.ts';
import { valueAndGradients } from '../../src/trace/differentiate.ts';
import { trace } from '../../src/trace/trace.ts';
import { createEagerEngine } from '../../trainer/engine/eager.ts';
import { type BoundInput, boundParameters, type Engine } from '../../trainer/engine/engine.ts';
import { createTracedEngine } from '../../trainer/engine/traced.ts';
import '../../src/nn/cpu-backend.ts';

type Tensors = Readonly<Record<string, tf.Tensor>>;

describe.each(['mlp-standard', 'mlp-small'])('%s', (architecture) => {
  const critic = createCritic({ architecture }, { observationSize: 3, actionSize: 2, contextSize: 1, ensembleSize: 3 });
  const stacks = critic.stacks!;
  const shapes = {
    members: shapesOf(critic.specs),
    stacks: Object.fromEntries(stacks.map(({ name, shape }) => [name, shape])),
  };
  const trainable = createTrainable({
    shapes: shapes.members,
    stacks: Object.fromEntries(stacks.map(({ name, members }) => [name, members])),
    learningRate: 0,
    target: false,
  });
  initialise(critic.specs, trainable.parameters, createRandom(5));
  const random = createRandom(6);
  const normals = (rows: number, columns: number): BoundInput => {
    const data = new Float32Array(rows * columns);
    random.fillNormal(data);
    return { shape: [rows, columns], data };
  };
  const batch = { observation: normals(4, 3), action: normals(4, 2), context: normals(4, 1), weight: normals(4, 3) };

  /** `q` [4, 3], and under `d.w.` the gradients of a weighted sum of its squares. */
  function evaluate(engine: Engine, parameters: Record<string, BoundInput>): Record<string, Float32Array> {
    const outputs: Record<string, Float32Array> = { q: new Float32Array(12) };
    for (const [name, { data }] of Object.entries(parameters)) outputs[`d.${name}`] = new Float32Array(data.length);
    const computation = engine.compile({
      name: 'stack',
      inputs: { ...batch, ...parameters },
      outputs,
      fn: ({ observation, action, context, weight, ...weights }) => {
        const [s, a, c] = [observation, action, context] as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D];
        const q = (of: Tensors) => ensembleQ(critic, under('w', of), s, a, c);
        const { gradients } = valueAndGradients((of) => tf.sum(tf.mul(tf.square(q(of)), weight!)), weights);
        return { q: q(weights), ...Object.fromEntries(Object.entries(gradients).map(([name, d]) => [`d.${name}`, d])) };
      },
    });
    computation.run();
    computation.dispose();
    return outputs;
  }

  test.each([createTracedEngine({ threadCount: 1 }), createEagerEngine('cpu')])(
    'has the q and the gradients of its members, $name',
    (engine) => {
      const byMember = evaluate(engine, boundParameters('w', trainable.parameters, shapes.members));
      const byStack = evaluate(engine, boundParameters('w', trainable.stacked.parameters, shapes.stacks));
      const expectClose = (actual: Float32Array, expected: readonly number[]) => {
        expect(actual).toHaveLength(expected.length);
        // Sums of at most 256 products in another order.
        actual.forEach((value, i) => {
          expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-5 * (1 + Math.abs(expected[i]!)));
        });
      };
      expect(new Set(byMember.q).size).toBe(12);
      expectClose(byStack.q!, [...byMember.q!]);
      for (const { name, members } of stacks) {
        expectClose(
          byStack[`d.w.${name}`]!,
          members.flatMap((member) => [...byMember[`d.w.${member}`]!]),
        );
      }
    },
  );

  test('refuses sizes that do not fit', () => {
    const zeros = (...shape: number[]) => tf.zeros(shape as [number, number]) as tf.Tensor2D;
    const evaluateZeros = () =>
      trace('q', {}, () => {
        const parameters = Object.fromEntries(stacks.map(({ name, shape }) => [name, zeros(...shape)]));
        return { q: ensembleQ(critic, parameters, zeros(4, 3), zeros(4, 1), zeros(4, 1)) };
      });
    expect(evaluateZeros).toThrow(
      `critic ${architecture}: expected observation [B, 3], action [B, 2], context [B, 1], got observation [4, 3], action [4, 1], context [4, 1]`,
    );
  });
});

test('critics that cannot be evaluated at once have no stacks', () => {
  const sizes = { observationSize: 3, actionSize: 2, ensembleSize: 2 };
  expect(createCritic({ architecture: 'sa-hyper', trunkSizes: [4] }, sizes).stacks).toBeUndefined();
});
