/** SAC as a learner of the off-policy loop: owns parameters, optimisers, the temperature and the compiled steps. */

import type * as tf from '@tensorflow/tfjs-core';
import type { PolicySpecs } from '../../../src/contract/tensor-spec.ts';
import type { TaskDistribution } from '../../../src/envs/task-distribution.ts';
import { actionOf } from '../../../src/nn/policies/policy.ts';
import { createTrainable, type Trainable } from '../../../src/optim/trainable.ts';
import type { Engine } from '../../engine/engine.ts';
import { compileActing } from '../../off-policy/acting.ts';
import { createActorCritic } from '../../off-policy/actor-critic.ts';
import { outputAt } from '../../off-policy/asking.ts';
import { actorCriticFiles, actorCriticModel } from '../../off-policy/exports.ts';
import { requireFiniteLoss } from '../../off-policy/finite-loss.ts';
import type { OffPolicyLearner } from '../../off-policy/learner.ts';
import { learnerState } from '../../off-policy/learner-state.ts';
import { copyBatch } from '../../off-policy/transitions.ts';
import type { Publishable } from '../../run/algorithm.ts';
import type { Portable } from '../../run/portable-policy.ts';
import type { SacConfig } from './config.ts';
import { actorConfig, createSacNetworks, type SacNetworks } from './networks.ts';
import { compileActorStep, compileCriticStep, createStepMemory, type StepMemory, type StepOptions } from './steps.ts';

export type SacLearner = OffPolicyLearner &
  Publishable &
  Portable & {
    readonly networks: SacNetworks;
    readonly actor: Trainable;
    readonly critic: Trainable;
    /** Its only parameter is `logAlpha`, []. */
    readonly temperature: Trainable;
  };

/** Updates between two reports of metrics. */
const metricsInterval = 100;

/**
 * A learner with freshly drawn parameters.
 * @param seed of the parameters' first values
 * @throws HyperpolicyError invalid_argument: an unknown critic, or options that it does not take
 */
export function createSacLearner(options: {
  readonly config: SacConfig;
  readonly specs: PolicySpecs;
  /** Of the environment, where it poses several; what contexts are normalised by. */
  readonly tasks?: Pick<TaskDistribution, 'ranges'> | null | undefined;
  readonly engine: Engine;
  readonly seed: number;
}): SacLearner {
  const { config, specs, engine, seed } = options;
  const networks = createSacNetworks(config, specs, options.tasks ?? null);
  const { actorLearningRate, criticLearningRate } = config;
  const parameters = createActorCritic(networks, { actorLearningRate, criticLearningRate, actorTarget: false, seed });
  const { trainables } = parameters;
  const temperature = createTrainable({
    shapes: { logAlpha: [] },
    learningRate: config.alphaLearningRate,
    target: false,
  });
  temperature.parameters.logAlpha![0] = Math.log(config.alpha);
  const acting = compileActing({
    engine,
    name: 'sac-act',
    networks,
    actor: parameters.actor,
    noisy: true,
    action: (values, states, noise) =>
      actionOf(networks.policy, outputAt(networks, values, states), noise as tf.Tensor2D),
  });
  const updates = createUpdates({ engine, config, networks, parameters }, temperature);

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
    portablePolicy: acting.portablePolicy,
    learn: updates.learn,
    save: updates.save,
    restore: updates.restore,
    model: () => actorCriticModel(networks, trainables, config.rewardScale),
    networkFiles() {
      const { critic, rewardScale } = config;
      return actorCriticFiles(networks, trainables, { policy: actorConfig(config), critic, rewardScale });
    },
    dispose() {
      acting.dispose();
      updates.dispose();
    },
  };
}

/** The updates with what they keep between each other. */
function createUpdates(
  options: Omit<StepOptions, 'memory' | 'temperature'>,
  temperature: Trainable,
): Pick<OffPolicyLearner, 'learn' | 'save' | 'restore' | 'dispose'> {
  const { config, networks, parameters } = options;
  const { actor, critic } = parameters.trainables;
  const memory = createStepMemory(config, networks);
  const steps = {
    critic: compileCriticStep({ ...options, temperature, memory }),
    actor: compileActorStep({ ...options, temperature, memory }),
  };
  const state = learnerState<{ updateCount: number }>('SAC learner', { actor, critic, temperature });
  let updateCount = 0;
  return {
    learn(batch, random) {
      copyBatch(batch, memory.batch);
      random.fillNormal(memory.nextNoise);
      random.fillNormal(memory.noise);
      steps.critic.run();
      for (const loss of memory.criticLosses) requireFiniteLoss('critic loss', loss);
      critic.adam.step();
      steps.actor.run();
      requireFiniteLoss('actor loss', memory.actorLoss[0]!);
      actor.adam.step();
      if (config.temperature === 'learned') temperature.adam.step();
      critic.followTarget(config.tau);
      updateCount++;
      return updateCount % metricsInterval === 0 ? metricsOf(memory, temperature) : null;
    },
    save: () => state.save({ updateCount }),
    restore(saved) {
      ({ updateCount } = state.restore(saved));
    },
    dispose() {
      for (const step of Object.values(steps)) step.dispose();
    },
  };
}

const metricsOf = (memory: StepMemory, temperature: Trainable) => ({
  criticLoss: memory.criticLosses.reduce((sum, loss) => sum + loss, 0),
  actorLoss: memory.actorLoss[0]!,
  targetMean: memory.targetMean[0]!,
  entropy: memory.entropy[0]!,
  alpha: Math.exp(temperature.parameters.logAlpha![0]!),
  temperatureLoss: memory.temperatureLoss[0]!,
});
