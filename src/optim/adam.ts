/** Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019) over one flat array of parameters, as a single fused pass. */

import type { Arena } from './arena.ts';
import { checkNumber, checkSameLength } from './checks.ts';

export type AdamOptions = {
  /** The arena that holds parameters and gradients; the two moments are cut from it, each as long as the parameters. */
  readonly arena: Arena;
  readonly parameters: Float32Array;
  /** Read by every step; written by whoever differentiates. Padding must be zero in both, and then stays so. */
  readonly gradients: Float32Array;
  /** At least 0. */
  readonly learningRate: number;
  /** In [0, 1); 0.9 unless given. */
  readonly beta1?: number;
  /** In [0, 1); 0.999 unless given. */
  readonly beta2?: number;
  /** Above 0; 1e-8 unless given. */
  readonly epsilon?: number;
  /** AdamW: parameters shrink by learningRate x weightDecay each step, apart from the gradient. At least 0; 0 unless given. */
  readonly weightDecay?: number;
};

export type Adam = {
  /**
   * One update in place from the present gradients.
   * @returns whether all values are finite still. If not, a gradient was not, or its square is too large for float32: parameters are
   *   lost, or stand still for ever since they divide by an infinite moment
   */
  step(): boolean;
  /** What the last step returned, asked of the second moments; also after steps that were taken elsewhere. */
  isSound(): boolean;
  /** Steps taken, which the bias correction depends on. To restore, assign it and set both moments. */
  stepCount: number;
  /** May be changed between steps. */
  learningRate: number;
  /** Running mean of the gradient. */
  readonly moment1: Float32Array;
  /** Running mean of the squared gradient, not negative. */
  readonly moment2: Float32Array;
};

/** What holds where nothing is given. */
export const adamDefaults = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;

/** What one step multiplies by, of its number t (from 1): stepSize = lr / (1 - b1^t), rescale2 = 1 / sqrt(1 - b2^t). */
export type AdamScalars<T = number> = { readonly stepSize: T; readonly rescale2: T };

export const adamScalars = (
  stepCount: number,
  { learningRate, beta1, beta2 }: { readonly learningRate: number; readonly beta1: number; readonly beta2: number },
): AdamScalars => ({
  stepSize: learningRate / (1 - beta1 ** stepCount),
  rescale2: 1 / Math.sqrt(1 - beta2 ** stepCount),
});

/**
 * Creates the optimiser with zero moments. Each step t, with the hats for bias correction:
 * m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, p = (1 - lr decay) p - lr m^ / (sqrt(v^) + epsilon),
 * m^ = m / (1 - b1^t), v^ = v / (1 - b2^t). Epsilon is added after the correction, as PyTorch does.
 * @throws RangeError for a number out of its range or different lengths; TypeError for arrays of another memory
 */
export function createAdam(options: AdamOptions): Adam {
  const { arena, parameters, gradients, beta1, beta2, epsilon, weightDecay = 0 } = { ...adamDefaults, ...options };
  checkNumber('createAdam: learningRate', options.learningRate, { min: 0 });
  checkNumber('createAdam: beta1', beta1, { min: 0, below: 1 });
  checkNumber('createAdam: beta2', beta2, { min: 0, below: 1 });
  checkNumber('createAdam: epsilon', epsilon, { above: 0 });
  checkNumber('createAdam: weightDecay', weightDecay, { min: 0 });
  checkSameLength('createAdam: gradients', gradients, parameters);
  const parametersAt = arena.addressOf(parameters, 'createAdam: parameters');
  const gradientsAt = arena.addressOf(gradients, 'createAdam: gradients');
  const moment1 = arena.allocate(parameters.length);
  const moment2 = arena.allocate(parameters.length);
  const { kernels } = arena;
  return {
    step() {
      this.stepCount += 1;
      const { stepSize, rescale2 } = adamScalars(this.stepCount, { learningRate: this.learningRate, beta1, beta2 });
      const isSound = kernels.adam(
        parametersAt,
        gradientsAt,
        moment1.byteOffset,
        moment2.byteOffset,
        parameters.length,
        1 - beta1,
        beta2,
        1 - beta2,
        stepSize,
        rescale2,
        epsilon,
        1 - this.learningRate * weightDecay,
      );
      return isSound === 1;
    },
    // The squares of float32 values are finite in float64, and so is their sum.
    isSound: () => Number.isFinite(kernels.sumOfSquares(moment2.byteOffset, moment2.length)),
    stepCount: 0,
    learningRate: options.learningRate,
    moment1,
    moment2,
  };
}
