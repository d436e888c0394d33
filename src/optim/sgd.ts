/** Gradient descent with momentum over one flat array of parameters, as a single fused pass. */

import type { Arena } from './arena.ts';
import { checkNumber, checkSameLength } from './checks.ts';

export type SgdOptions = {
  /** The arena that holds parameters and gradients; the momentum buffer is cut from it, as long as the parameters. */
  readonly arena: Arena;
  readonly parameters: Float32Array;
  /** Read by every step. Padding must be zero in both, and then stays so. */
  readonly gradients: Float32Array;
  /** At least 0. */
  readonly learningRate: number;
  /** In [0, 1); 0 unless given. */
  readonly momentum?: number;
  /** Looks ahead along the momentum; false unless given. */
  readonly nesterov?: boolean;
  /** Added to the gradient, times the parameter. At least 0; 0 unless given. */
  readonly weightDecay?: number;
};

export type Sgd = {
  /** One update in place from the present gradients. */
  step(): void;
  /** May be changed between steps. */
  learningRate: number;
  /** Running sum of gradients; all that a resumed optimiser needs. */
  readonly buffer: Float32Array;
};

/**
 * Creates the optimiser with a zero buffer. Each step: d = g + decay p, b = momentum b + d, p -= lr b; with Nesterov's
 * momentum p -= lr (d + momentum b). As PyTorch's SGD without dampening.
 * @throws RangeError for a number out of its range or different lengths; TypeError for arrays of another memory
 */
export function createSgd(options: SgdOptions): Sgd {
  const { arena, parameters, gradients, momentum = 0, nesterov = false, weightDecay = 0 } = options;
  checkNumber('createSgd: learningRate', options.learningRate, { min: 0 });
  checkNumber('createSgd: momentum', momentum, { min: 0, below: 1 });
  checkNumber('createSgd: weightDecay', weightDecay, { min: 0 });
  checkSameLength('createSgd: gradients', gradients, parameters);
  const parametersAt = arena.addressOf(parameters, 'createSgd: parameters');
  const gradientsAt = arena.addressOf(gradients, 'createSgd: gradients');
  const buffer = arena.allocate(parameters.length);
  const [shareOfGradient, shareOfBuffer] = nesterov ? [1, momentum] : [0, 1];
  return {
    step() {
      arena.kernels.sgd(
        parametersAt,
        gradientsAt,
        buffer.byteOffset,
        parameters.length,
        this.learningRate,
        momentum,
        weightDecay,
        shareOfGradient,
        shareOfBuffer,
      );
    },
    learningRate: options.learningRate,
    buffer,
  };
}
