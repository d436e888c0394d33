import { describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { createArena } from '../../src/optim/arena.ts';
import { createSgd } from '../../src/optim/sgd.ts';
import { fill, sgdReference } from './reference.ts';

function problem(length: number) {
  const arena = createArena(3 * length + 48);
  return { arena, parameters: arena.allocate(length), gradients: arena.allocate(length) };
}

describe('createSgd', () => {
  test('two steps by hand', () => {
    const { arena, parameters, gradients } = problem(1);
    const sgd = createSgd({ arena, parameters, gradients, learningRate: 0.5, momentum: 0.5 });
    parameters[0] = 1;
    gradients[0] = 2;
    sgd.step(); // b = 2, p = 1 - .5 x 2
    expect(parameters[0]).toBe(0);
    gradients[0] = 1;
    sgd.step(); // b = .5 x 2 + 1 = 2, p = 0 - .5 x 2
    expect([parameters[0], sgd.buffer[0]]).toEqual([-1, 2]);
  });

  test("Nesterov's momentum and weight decay by hand", () => {
    const { arena, parameters, gradients } = problem(1);
    parameters[0] = 4;
    gradients[0] = 1;
    // d = 1 + .25 x 4 = 2, b = 2, p = 4 - .5 (2 + .5 x 2)
    createSgd({
      arena,
      parameters,
      gradients,
      learningRate: 0.5,
      momentum: 0.5,
      nesterov: true,
      weightDecay: 0.25,
    }).step();
    expect(parameters[0]).toBe(2.5);
  });

  test.each([1, 3, 4, 7, 16, 1001])('equals the plain float32 program bit for bit, %i values', (length) => {
    const { arena, parameters, gradients } = problem(length);
    const random = createRandom(length);
    fill(parameters, () => random.normal());
    const plain = { parameters: parameters.slice(), gradients: gradients.slice(), buffer: new Float32Array(length) };
    const options = { learningRate: 0.01, momentum: 0.9, nesterov: length % 2 === 0, weightDecay: 1e-3 };
    const sgd = createSgd({ arena, parameters, gradients, ...options });
    for (let step = 0; step < 20; step++) {
      fill(gradients, () => random.normal());
      plain.gradients.set(gradients);
      sgd.step();
      sgdReference(plain, options);
    }
    expect(parameters).toEqual(plain.parameters);
    expect(sgd.buffer).toEqual(plain.buffer);
  });

  test('refuses misuse', () => {
    const options = { ...problem(16), learningRate: 0.1 };
    expect(() => createSgd({ ...options, momentum: 1 })).toThrow(
      'createSgd: momentum: expected a number at least 0 and below 1, got 1',
    );
    expect(() => createSgd({ ...options, weightDecay: -1 })).toThrow(
      'createSgd: weightDecay: expected a number at least 0, got -1',
    );
    expect(() => createSgd({ ...options, gradients: new Float32Array(16) })).toThrow(
      'createSgd: gradients: expected an array of the arena, got one of another memory. Allocate it there',
    );
  });
});
