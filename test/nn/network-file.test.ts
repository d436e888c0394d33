import { describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { createNetwork, networkSpecs } from '../../src/nn/network.ts';
import { holdsNetwork, readNetwork, writeNetwork } from '../../src/nn/network-file.ts';
import { drawParameters } from '../../src/nn/parameters.ts';
import { readSafetensors } from '../../src/package/safetensors.ts';

const network = createNetwork({
  kind: 'critic',
  config: { architecture: 'emb-hyper', trunkSizes: [8], dynamicHiddenSizes: [4], initialisation: 'hfi' },
  sizes: { observationSize: 3, actionSize: 2, ensembleSize: 2 },
});
const parameters = drawParameters(networkSpecs(network), createRandom(1));
const file = readSafetensors(writeNetwork(network, parameters));

test('a network is read as it was written', () => {
  expect(holdsNetwork(file)).toBe(true);
  const read = readNetwork(file, 'x');
  expect(read.network.description).toEqual(network.description);
  expect(read.parameters).toEqual(parameters);
});

test('its tensors have the documented names and shapes', () => {
  expect([...file.tensors.keys()].slice(0, 3)).toEqual([
    'q0.primary.stage0.input.weight',
    'q0.primary.stage0.input.bias',
    'q0.primary.stage0.block0.first.weight',
  ]);
  expect(file.tensors.get('q1.head0.weight.weight')!.shape).toEqual([8, 5 * 4]);
  expect(file.tensors.get('shared.embedding')!.shape).toEqual([5]);
});

describe('is refused', () => {
  const changed = (change: (tensors: Map<string, { shape: readonly number[]; data: Float32Array }>) => void) => {
    const tensors = new Map(file.tensors);
    change(tensors);
    return { ...file, tensors };
  };

  test('with a tensor that is missing, of another shape, or unknown', () => {
    expect(() =>
      readNetwork(
        changed((tensors) => tensors.delete('shared.embedding')),
        'x',
      ),
    ).toThrow('x tensor "shared.embedding": expected [5], got none');
    const other = { shape: [4], data: new Float32Array(4) };
    expect(() =>
      readNetwork(
        changed((tensors) => tensors.set('shared.embedding', other)),
        'x',
      ),
    ).toThrow('x tensor "shared.embedding": expected [5], got [4]');
    for (const name of ['foo', 'constructor']) {
      expect(() =>
        readNetwork(
          changed((tensors) => tensors.set(name, other)),
          'x',
        ),
      ).toThrow(`x: expected the network's tensors, got "${name}"`);
    }
  });

  test('with a description that does not parse', () => {
    const metadata = { 'hyperpolicy.network': '{"kind":"critic"}' };
    expect(() => readNetwork({ ...file, metadata }, 'x')).toThrow(
      'x metadata "hyperpolicy.network": expected the description of a network',
    );
  });
});
