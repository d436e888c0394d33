/** SAC as a learner of the off-policy loop: owns parameters, optimisers, the temperature and the compiled steps. */

import type * as tf from '@tensorflow/tfjs-core';
import { actionOf } from '../../../src/nn/policies/policy.ts';
import { createTrainable, type Trainable } from '../../../src/optim/trainable.ts';
import { compileActing } from '../../off-policy/acting.ts';
import { createActorCritic } from '../../off-policy/actor-critic.ts';
import { outputAt } from '../../off-policy/asking.ts';
import { publishable } from '../../off-policy/exports.ts';
import type { LearnerOptions, OffPolicyLearner } from '../../off-policy/learner.ts';
import { createLearning } from '../../off-policy/updates.ts';
import type { Publishable } from '../../run/algorithm.ts';
import type { Portable } from '../../run/portable-policy.ts';
import type { SacConfig } from './config.ts';
import { actorConfig, createSacNetworks, type SacNetworks } from './networks.ts';
import { createStepMemory, type StepMemory } from './steps.ts';
import { createUpdates } from './updates.ts';

export type SacLearner = OffPolicyLearner &
  Publishable &
  Portable & {
    readonly networks: SacNetworks;
    readonly actor: Trainable;
    readonly critic: Trainable;
    /** Its only parameter is `logAlpha`, []. */
    readonly temperature: Trainable;
  };

/**
 * A learner with freshly drawn parameters.
 * @throws HyperpolicyError invalid_argument: an unknown critic, or options that it does not take
 */
export function createSacLearner(options: LearnerOptions<SacConfig>): SacLearner {
  const { config, specs, tasks, engine, seed, updatesPerRun = 1 } = options;
  const networks = createSacNetworks(config, specs, tasks);
  const { actorLearningRate, criticLearningRate } = config;
  const parameters = createActorCritic(networks, { actorLearningRate, criticLearningRate, actorTarget: false, seed });
  const { trainables } = parameters;
  const temperature = createTemperature(config);
  const acting = compileActing({
    engine,
    name: 'sac-act',
    networks,
    actor: parameters.actor,
    noisy: true,
    action: (values, states, noise) =>
      actionOf(networks.policy, outputAt(networks, values, states), noise as tf.Tensor2D),
  });
  const memory = createStepMemory(config, networks);
  const updates = createUpdates({ engine, config, networks, parameters, temperature, memory }, updatesPerRun);
  const learning = createLearning({
    where: 'SAC learner',
    trainables: { ...trainables, temperature },
    updates,
    metrics: () => metricsOf(memory, temperature),
  });

  return {
    networks,
    ...trainables,
    temperature,
    act(observation, out, context) {
      acting.noise.fill(0);
      acting.act(observation, context, out);
    },
    explore(observation, random, out, context) {
      random.fillNormal(acting.noise);
      acting.act(observation, context, out);
    },
    // The entropy of each step is a part of the value, too.
    largestValue(reward) {
      const { alpha, entropy } = metricsOf(memory, temperature);
      return (config.rewardScale * reward + alpha * Math.abs(entropy)) / (1 - config.gamma);
    },
    portablePolicy: acting.portablePolicy,
    ...learning,
    ...publishable(networks, trainables, { ...config, policy: actorConfig(config) }),
    dispose() {
      acting.dispose();
      updates.dispose();
    },
  };
}

function createTemperature({ alpha, alphaLearningRate: learningRate }: SacConfig): Trainable {
  const temperature = createTrainable({ shapes: { logAlpha: [] }, learningRate, target: false });
  temperature.parameters.logAlpha![0] = Math.log(alpha);
  return temperature;
}

const metricsOf = (memory: StepMemory, temperature: Trainable) => ({
  criticLoss: memory.criticLosses.reduce((sum, loss) => sum + loss, 0),
  actorLoss: memory.actorLoss[0]!,
  targetMean: memory.targetMean[0]!,
  entropy: memory.entropy[0]!,
  alpha: Math.exp(temperature.parameters.logAlpha![0]!),
  temperatureLoss: memory.temperatureLoss[0]!,
});
