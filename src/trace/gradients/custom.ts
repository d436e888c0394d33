/**
 * tfjs composes a few operations with `customGrad` (`logSoftmax`, `softmaxCrossEntropy`), whose gradients save the output. They are wrong
 * to second order, like those that this folder replaces, but have no kernel name. Second-order gradients through them are refused.
 */

import * as tf from '@tensorflow/tfjs-core';

/** The part of tfjs's engine that this file uses; not in its published types. */
type Engine = {
  readonly state: { readonly gradientDepth: number };
  runKernelFunc(this: Engine, call: { readonly forwardFunc?: unknown }): unknown;
};

let installed = false;

/** Makes a custom gradient inside a gradient of a gradient an error. The first order stays allowed. */
export function refuseCustomGradients(): void {
  if (installed) return;
  installed = true;
  const engine = tf.engine() as unknown as Engine;
  const run = engine.runKernelFunc;
  engine.runKernelFunc = function (call) {
    if (call.forwardFunc !== undefined && this.state.gradientDepth > 1) {
      throw new Error(
        'trace: expected operations that can be differentiated twice, got one with a custom gradient (tf.customGrad, ' +
          'tf.logSoftmax, tf.losses.softmaxCrossEntropy). Write it out: logits - logSumExp(logits) for logSoftmax',
      );
    }
    return run.call(this, call);
  };
}
