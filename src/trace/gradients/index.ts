/** Registers every gradient with tfjs, in place of its own. */

import * as tf from '@tensorflow/tfjs-core';
import { activationGradients } from './activations.ts';
import { comparisonGradients } from './comparison.ts';
import { refuseCustomGradients } from './custom.ts';
import { elementwiseGradients } from './elementwise.ts';
import type { Attributes, GradientRule, GradientTable } from './gradient.ts';
import { indexingGradients } from './indexing.ts';
import { matMulGradients } from './matmul.ts';
import { reduceGradients } from './reduce.ts';
import { shapeGradients } from './shape.ts';

export const gradients: GradientTable = {
  ...elementwiseGradients,
  ...activationGradients,
  ...comparisonGradients,
  ...reduceGradients,
  ...matMulGradients,
  ...shapeGradients,
  ...indexingGradients,
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
  for (const kernelName of otherKernelNames()) {
    if (tf.getGradient(kernelName) !== undefined) tf.unregisterGradient(kernelName);
    tf.registerGradient(refused(kernelName));
  }
  refuseCustomGradients();
}

/** Every kernel that tfjs names and that has no rule here. */
const otherKernelNames = (): string[] =>
  Object.entries(tf).flatMap(([name, value]) => (name === value && !(name in gradients) ? [name] : []));

/** tfjs's own gradient may be wrong to second order without a word, so an operation without a rule says so. */
const refused = (kernelName: string): tf.GradConfig => ({
  kernelName,
  inputsToSave: [],
  gradFunc: () => {
    throw new Error(
      `trace: expected an operation with a rule in src/trace/gradients, got "${kernelName}", which cannot be differentiated, ` +
        'once or twice. Write the function with other operations, or add a rule there',
    );
  },
});

function config(kernelName: string, { inputs, gradient }: GradientRule): tf.GradConfig {
  const isList = inputs.length === 0;
  const gradFunc: tf.GradFunc = (dy, saved, attributes) => {
    const rules = gradient(dy as tf.Tensor, saved, (attributes ?? {}) as unknown as Attributes);
    return Object.fromEntries(rules.map((rule, i) => [isList ? String(i) : inputs[i]!, rule]));
  };
  return isList ? { kernelName, saveAllInputs: true, gradFunc } : { kernelName, inputsToSave: [...inputs], gradFunc };
}
