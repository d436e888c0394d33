/**
 * Runs the compliance cases on every registered environment, or on your own:
 * `HYPERPOLICY_ENV=./my-env.js npx vitest run test/compliance/env.test.ts`.
 */

import { describe, expect, it } from 'vitest';
import { createEnvironment, environmentNames } from '../../src/envs/registry.ts';
import { envCases } from './env-cases.ts';

const own = process.env.HYPERPOLICY_ENV;

describe.each(own === undefined ? environmentNames : [own])('%s', (name) => {
  it.each(envCases)('$name', async ({ check }) => {
    await check(() => createEnvironment(name));
  });
});

describe('the registry', () => {
  it('refuses an unknown name and lists the known ones', async () => {
    await expect(createEnvironment('Cheetah')).rejects.toThrow(
      `environment: expected one of ${environmentNames.join(', ')}, or a path such as ./my-env.js, got "Cheetah"`,
    );
    await expect(createEnvironment('constructor')).rejects.toThrow('got "constructor"');
  });
});
