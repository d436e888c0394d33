/** The published model of a MAML learner: the policy before adaptation, and the adaptation that a server runs. */

import * as tf from '@tensorflow/tfjs-core';
import { type Parameters, shapesOf, under } from '../../../src/nn/parameters.ts';
import type { TrainedModel } from '../../export/model.ts';
import type { AdaptationSteps } from '../../export/task-policy.ts';
import type { MamlConfig } from './config.ts';
import { adapt } from './inner-step.ts';
import { policyGradientLoss } from './losses.ts';
import { type MamlNetworks, type MetaViews, readRates } from './networks.ts';

/** @param parameters of `metaSpecs`; learnt rates become constants of the adaptation */
export function mamlModel(networks: MamlNetworks, config: MamlConfig, parameters: MetaViews): TrainedModel {
  const { policy, scaling, context, contextSize } = networks;
  const { inner, advantages } = config;
  return {
    rewardScale: 1,
    critic: null,
    policy: {
      policy,
      parameters: { views: under('policy', parameters), shapes: shapesOf(policy.specs) },
      scaling,
      context,
    },
    isWithoutContext: contextSize === 0,
    adaptation:
      inner.stepCount === 0
        ? undefined
        : {
            ...advantages,
            adapt: (start: Parameters, inContext: tf.Tensor2D | undefined, steps: AdaptationSteps) => {
              const task = { policy, context: inContext };
              const loss = (values: Parameters) => policyGradientLoss(task, values, steps);
              return adapt(loss, start, ratesOf(networks, config.rate, parameters), inner);
            },
          },
  };
}

function ratesOf(networks: MamlNetworks, rate: MamlConfig['rate'], parameters: MetaViews): Parameters {
  const learnt = Object.entries(under('rate', parameters)).map(([name, data]) => {
    const shape = rate.learnt === 'per-tensor' ? [] : [...networks.policy.specs[name]!.shape];
    return [`rate.${name}`, tf.tensor(data.slice(), shape)] as const;
  });
  return readRates(networks, rate, Object.fromEntries(learnt));
}
