import { expect, test } from 'vitest';
import { specDifference } from '../../src/contract/spec-difference.ts';
import { type PolicySpecs, plainSpec } from '../../src/contract/tensor-spec.ts';

const specs: PolicySpecs = {
  observation: plainSpec('observation', 17),
  action: plainSpec('action', 6, { low: -1, high: 1 }),
  context: { ...plainSpec('goal', 1), source: 'oracle' },
};

test.each<[string, PolicySpecs, ReturnType<typeof specDifference>]>([
  [
    'sizes',
    { ...specs, observation: plainSpec('observation', 3) },
    { expected: 'observation 17, action 6, context 1', actual: 'observation 3, action 6, context 1' },
  ],
  [
    'a context',
    { ...specs, context: null },
    { expected: 'observation 17, action 6, context 1', actual: 'observation 17, action 6, no context' },
  ],
  [
    'the first value of equal sizes, by its bounds',
    { ...specs, action: { ...specs.action, high: [1, 1, 2, 3, 1, 1] } },
    { expected: 'action value 2 "action.2" in [-1, 1] 1', actual: 'action value 2 "action.2" in [-1, 2] 1' },
  ],
  [
    'by its name and unit, without bounds',
    { ...specs, context: { ...plainSpec('speed', 1, { unit: 'm/s' }), source: 'oracle' } },
    { expected: 'context value 0 "goal.0" in [-inf, inf] 1', actual: 'context value 0 "speed.0" in [-inf, inf] m/s' },
  ],
  [
    'where the context comes from',
    { ...specs, context: { ...specs.context!, source: 'latent' } },
    { expected: 'a context that is known', actual: 'a context that is inferred' },
  ],
])('specs that differ in %s', (_, actual, texts) => {
  expect(specDifference(specs, actual)).toEqual(texts);
});

test('a context that a model infers is left out where both have it: an environment has none', () => {
  const latent = { ...specs, context: { ...plainSpec('latent', 5), source: 'latent' } } as const;
  expect(specDifference(latent, { ...latent, observation: plainSpec('observation', 3) })).toEqual({
    expected: 'observation 17, action 6',
    actual: 'observation 3, action 6',
  });
});

test('equal specs are refused', () => {
  expect(() => specDifference(specs, { ...specs })).toThrow('expected specs that differ, got equal ones');
});
