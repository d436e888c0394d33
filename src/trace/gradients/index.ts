/** Registers every gradient with tfjs, in place of its own. */

import * as tf from '@tensorflow/tfjs-core';
import { elementwiseGradients } from './elementwise.ts';
import type { Attributes, GradientRule, GradientTable } from './gradient.ts';
import { matMulGradients } from './matmul.ts';
import { reduceGradients } from './reduce.ts';
import { shapeGradients } from './shape.ts';

export const gradients: GradientTable = {
  ...elementwiseGradients,
  ...reduceGradients,
  ...matMulGradients,
  ...shapeGradients,
};

/**
 * Call once before differentiating, and again after loading a package that registers tfjs's own gradients
 * (`@tensorflow/tfjs-node`).
 */
export function registerGradients(): void {
  for (const [kernelName, rule] of Object.entries(gradients)) {
    if (tf.getGradient(kernelName) !== undefined) tf.unregisterGradient(kernelName);
    tf.registerGradient(config(kernelName, rule));
  }
}

function config(kernelName: string, { inputs, gradient }: GradientRule): tf.GradConfig {
  const isList = inputs.length === 0;
  const gradFunc: tf.GradFunc = (dy, saved, attributes) => {
    const rules = gradient(dy as tf.Tensor, saved, attributes as unknown as Attributes);
    return Object.fromEntries(rules.map((rule, i) => [isList ? String(i) : inputs[i]!, rule]));
  };
  return isList ? { kernelName, saveAllInputs: true, gradFunc } : { kernelName, inputsToSave: [...inputs], gradFunc };
}
