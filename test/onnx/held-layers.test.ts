/** The layers of an exported network are its parameters. */

import { expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { plainSpec } from '../../src/contract/tensor-spec.ts';
import { actionScaling } from '../../src/nn/action-scaling.ts';
import { memberParameters } from '../../src/nn/critics/critic.ts';
import { createCritic } from '../../src/nn/critics/registry.ts';
import { drawParameters, shapesOf } from '../../src/nn/parameters.ts';
import { heldLayers } from '../../src/onnx/held-layers.ts';
import { exportCritic } from '../../trainer/export/critic.ts';

test('twins of two layers are four layers, and their gradients none', () => {
  const sizes = { observationSize: 3, actionSize: 2, ensembleSize: 2 };
  const critic = createCritic({ architecture: 'mlp-small', hiddenSizes: [4] }, sizes);
  const parameters = { views: drawParameters(critic.specs, createRandom(1)), shapes: shapesOf(critic.specs) };
  const scaling = actionScaling(plainSpec('action', 2, { low: -3, high: 5 }));
  const files = exportCritic({ critic, parameters, scaling });
  const { bytes } = (files as Extract<typeof files, { kind: 'plain' }>).graph;
  const layers = heldLayers(bytes);
  expect(layers.map(({ inputSize, outputSize }) => [inputSize, outputSize])).toEqual([
    [5, 4],
    [4, 1],
    [5, 4],
    [4, 1],
  ]);
  for (const [i, { weights, biases }] of layers.entries()) {
    const own = memberParameters(Math.floor(i / 2), parameters.views);
    expect(weights).toEqual(own[`layer${i % 2}.weight`]);
    expect(biases).toEqual(own[`layer${i % 2}.bias`]);
  }
});
