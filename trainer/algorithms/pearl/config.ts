/** PEARL's settings of networks and losses, with the paper's values. */

import type { EncoderConfig } from '../../../src/nn/encoders/registry.ts';
import type { HyperOptions } from '../../../src/nn/hyper/hypernetwork.ts';

export type PearlConfig = {
  /** Hypernetworks (policy: meta = z; Q and V: meta = observation), or networks of [observation, action, z] side by side. */
  readonly networks: 'hyper' | 'mlp';
  /** Widths of the hypernetworks; the paper's where absent. */
  readonly hyper?: HyperOptions | undefined;
  /** Widths of the hidden layers of MLPs. */
  readonly hiddenSizes: readonly number[];
  readonly encoder: EncoderConfig;
  /** Values of z. */
  readonly latentSize: number;
  /** Whether the encoder sees the next observation too: needed where tasks differ in their dynamics. */
  readonly encodesNextObservation: boolean;
  readonly policyLearningRate: number;
  readonly qLearningRate: number;
  readonly valueLearningRate: number;
  readonly encoderLearningRate: number;
  /** Discount per step, in [0, 1). */
  readonly gamma: number;
  /** Fraction of the way that the target V follows at each update. */
  readonly tau: number;
  readonly rewardScale: number;
  /** Weight of the posterior's divergence from N(0, I) in the encoder's loss. */
  readonly klWeight: number;
  /** Weights of the mean squares of the policy's mean and log-std in its loss. */
  readonly meanWeight: number;
  readonly logStdWeight: number;
};

/** Source: Sarafian et al. 2021, appendix E.4; Rakelly et al. 2019, released code. */
export function pearlDefaults(networks: PearlConfig['networks']): PearlConfig {
  const rates =
    networks === 'hyper'
      ? { policyLearningRate: 1e-4, qLearningRate: 5e-5, valueLearningRate: 5e-5 }
      : { policyLearningRate: 3e-4, qLearningRate: 3e-4, valueLearningRate: 3e-4 };
  return {
    networks,
    hiddenSizes: [300, 300, 300],
    encoder: { architecture: 'pearl-encoder' },
    latentSize: 5,
    encodesNextObservation: false,
    ...rates,
    encoderLearningRate: 3e-4,
    gamma: 0.99,
    tau: 0.005,
    rewardScale: 5,
    klWeight: 0.1,
    meanWeight: 1e-3,
    logStdWeight: 1e-3,
  };
}
