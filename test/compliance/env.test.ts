/** Runs the compliance cases on every registered environment. */

import { describe, expect, it } from 'vitest';
import { createEnvironment, environmentNames } from '../../src/envs/registry.ts';
import { envCases } from './env-cases.ts';

describe.each(environmentNames)('%s', (name) => {
  it.each(envCases)('$name', async ({ check }) => {
    await check(() => createEnvironment(name));
  });
});

describe('the registry', () => {
  it('refuses an unknown name and lists the known ones', async () => {
    await expect(createEnvironment('Cheetah')).rejects.toThrow(
      `environment: expected one of ${environmentNames.join(', ')}, got "Cheetah"`,
    );
    await expect(createEnvironment('constructor')).rejects.toThrow('got "constructor"');
  });
});
