/** How state dicts of the reference are taken apart: twins, other names of the same layers, and what is refused. */

import { describe, expect, test } from 'vitest';
import { networkSpecs } from '../../src/nn/network.ts';
import { placement, toOurs } from '../../src/nn/reference/arrange.ts';
import { referenceNames, referenceNetwork } from '../../src/nn/reference/network.ts';
import { referenceCases, shapesIn, toTheirs } from './reference.ts';

const shapes = shapesIn(referenceCases.find(([name]) => name === 'sa-hyper-critic-narrow')![1]);
const sizes = { observationSize: 4, actionSize: 2, contextSize: 0 };
const under = (prefix: string) => [...shapes].map(([name, shape]) => [`${prefix}${name}`, shape] as const);

const mlpShapes = (names: readonly string[]) =>
  new Map(
    names.flatMap((name, i) => {
      const [inputs, outputs] = [[6, 256, 256][i]!, [256, 256, 1][i]!];
      return [
        [`${name}.weight`, [outputs, inputs]],
        [`${name}.bias`, [outputs]],
      ] as [string, number[]][];
    }),
  );

test('names with q1 and q2 are twins', () => {
  const { network, tensors } = referenceNetwork('sa-hyper', sizes, new Map([...under('q1.'), ...under('q2.')]));
  expect(network.description.sizes).toMatchObject({ ensembleSize: 2 });
  expect(tensors.get('q2.layer1.s1.bias')!.ours).toBe('q1.head0.gain.bias');
  expect(new Set([...tensors.values()].map(({ ours }) => ours))).toEqual(new Set(Object.keys(networkSpecs(network))));
});

test('the embedding of emb-hyper belongs to both twins', () => {
  const one = new Map(
    [...shapesIn(referenceCases.find(([name]) => name === 'emb-hyper-critic')![1])].map(
      ([name, shape]) => [name.replace(/^q1\./, ''), shape] as const,
    ),
  );
  const member = [...one].filter(([name]) => name !== 'embedding');
  const all = [...['q1.', 'q2.'].flatMap((q) => member.map(([name, shape]) => [q + name, shape] as const))];
  const { tensors } = referenceNetwork(
    'emb-hyper',
    { observationSize: 17, actionSize: 6, contextSize: 0 },
    new Map([...all, ['embedding', [5]] as const]),
  );
  expect(tensors.get('embedding')!.ours).toBe('shared.embedding');
});

test.each([
  [['0', '2', '4']],
  [['linear1', 'linear2', 'linear3']],
  [['fc0', 'fc1', 'last_fc']],
  [['q1.0', 'q1.2', 'q1.4']],
])('the layers of an MLP are found as %j, in any order of the file', (names) => {
  const reversed = new Map([...mlpShapes(names)].reverse());
  const { tensors } = referenceNetwork('mlp-standard', sizes, reversed);
  expect(names.map((name) => tensors.get(`${name}.weight`)!.ours)).toEqual([
    'q0.layer0.weight',
    'q0.layer1.weight',
    'q0.layer2.weight',
  ]);
});

test('a head row [out, in] goes to [in, out], in weight and bias alike', () => {
  // Two inputs, three outputs, an embedding of one: row o * 2 + i there, column i * 3 + o here.
  const theirs = Float32Array.of(0, 1, 10, 11, 20, 21); // 10 o + i
  const place = placement([6, 1], { inputSize: 2, outputSize: 3 });
  expect([...toOurs(theirs, place)]).toEqual([0, 10, 20, 1, 11, 21]);
  expect([...toTheirs(toOurs(theirs, place), place)]).toEqual([...theirs]);
  expect([...toOurs(theirs, placement([6], { inputSize: 2, outputSize: 3 }))]).toEqual([0, 10, 20, 1, 11, 21]);
});

describe('is refused with both sides', () => {
  const changed = (change: (map: Map<string, readonly number[]>) => void) => {
    const map = new Map(shapes);
    change(map);
    return map;
  };
  test.each([
    [
      'an unknown architecture',
      'sa',
      shapes,
      `reference architecture: expected one of ${referenceNames.join(', ')}, got "sa"`,
    ],
    [
      'an architecture that every object has',
      'constructor',
      shapes,
      `reference architecture: expected one of ${referenceNames.join(', ')}, got "constructor"`,
    ],
    [
      'a tensor that every object has',
      'sa-hyper',
      changed((map) => map.set('constructor', [1])),
      'reference sa-hyper: expected names of the reference for it, got "constructor"',
    ],
    [
      'an unknown name',
      'sa-hyper',
      changed((map) => map.set('foo', [1])),
      'reference sa-hyper: expected names of the reference for it, got "foo"',
    ],
    [
      'a missing tensor',
      'sa-hyper',
      changed((map) => map.delete('layer1.W1.bias')),
      'reference sa-hyper: expected 32 tensors, one each, got none for 1 of ours, first "q0.head0.weight.bias"',
    ],
    [
      'another shape',
      'sa-hyper',
      changed((map) => map.set('layer1.W1.weight', [47, 48])),
      'tensor "layer1.W1.weight": expected [48, 48], as sa-hyper with observation 4, action 2, context 0, got [47, 48]',
    ],
    [
      'a context that is missing',
      'pearl-hyper-critic',
      shapes,
      'reference pearl-hyper-critic: expected a context size of at least 1, got 0',
    ],
  ])('%s', (_name, architecture, given, message) => {
    expect(() => referenceNetwork(architecture, sizes, given)).toThrow(message);
  });

  test('a size that is not the network', () => {
    expect(() => referenceNetwork('sa-hyper', { ...sizes, observationSize: 5 }, shapes)).toThrow(
      'tensor "hyper.hyper.0.weight": expected [32, 5], as sa-hyper with observation 5, action 2, context 0, got [32, 4]',
    );
  });
});
