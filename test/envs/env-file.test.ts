/** A user's own environment from a file. */

import { describe, expect, it } from 'vitest';
import { createEnvironment } from '../../src/envs/registry.ts';
import { envCases } from '../compliance/env-cases.ts';

const file = (name: string) => `${import.meta.dirname}/files/${name}.js`;

describe('a task in a file', () => {
  it.each(envCases)('$name', async ({ check }) => {
    await check(() => createEnvironment(file('cart')));
  });

  it('is found relative to the working directory', async () => {
    const env = await createEnvironment('./test/envs/files/cart.js');
    expect(env.name).toBe('cart');
  });
});

describe('a file is refused', () => {
  it.each([
    ['missing', 'environment: expected a file at '],
    ['no-default', 'expected a default export that is a function, got none'],
    ['throws', 'expected a JavaScript module that loads, got Error: at load'],
    [
      'broken',
      'expected an environment with begin, advance, observe, capture, reinstate, got none of observe, capture',
    ],
    ['no-bounds', 'expected specs.action with names, low, high and units, got '],
  ])('where it is %s', async (name, message) => {
    await expect(createEnvironment(file(name))).rejects.toThrow(message);
  });
});
