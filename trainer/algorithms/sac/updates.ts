/** SAC's updates: step by step with the optimisers between, or several in one run. */

import * as tf from '@tensorflow/tfjs-core';
import { specSizes } from '../../../src/contract/tensor-spec.ts';
import { arraysOf } from '../../off-policy/actor-critic.ts';
import { requireFiniteLoss, takeStep } from '../../off-policy/finite-loss.ts';
import { followed } from '../../off-policy/network-tensors.ts';
import { copyBatch, transitionsOf } from '../../off-policy/transitions.ts';
import { createUpdateRuns, type Pass } from '../../off-policy/update-runs.ts';
import type { Updates } from '../../off-policy/updates.ts';
import {
  actorStep,
  compileActorStep,
  compileCriticStep,
  criticStep,
  type StepOptions,
  targetEntropyOf,
} from './steps.ts';

export const createUpdates = (options: StepOptions, updatesPerRun: number): Updates =>
  updatesPerRun === 1 ? singleUpdates(options) : updateRuns(options, updatesPerRun);

function singleUpdates(options: StepOptions): Updates {
  const { config, parameters, temperature, memory } = options;
  const { actor, critic } = parameters.trainables;
  const steps = { critic: compileCriticStep(options), actor: compileActorStep(options) };
  return {
    take(batch, random) {
      copyBatch(batch, memory.batch);
      random.fillNormal(memory.nextNoise);
      random.fillNormal(memory.noise);
      steps.critic.run();
      for (const loss of memory.criticLosses) requireFiniteLoss('critic loss', loss);
      takeStep('critic loss', critic.adam);
      steps.actor.run();
      requireFiniteLoss('actor loss', memory.actorLoss[0]!, { isBegun: true });
      takeStep('actor loss', actor.adam);
      if (config.temperature === 'learned') takeStep('temperature loss', temperature.adam);
      critic.followTarget(config.tau);
      return 1;
    },
    dispose() {
      for (const step of Object.values(steps)) step.dispose();
    },
  };
}

function updateRuns(options: StepOptions, updatesPerRun: number): Updates {
  const { engine, config, networks, parameters, temperature, memory } = options;
  const { trainables } = parameters;
  const { criticLosses, targetMean, actorLoss, entropy, temperatureLoss } = memory;
  return createUpdateRuns({
    engine,
    name: 'sac-updates',
    updatesPerRun,
    updatesPerPass: 1,
    networks: {
      actor: { arrays: parameters.actor, adam: trainables.actor.adam, stepsPerPass: 1 },
      critic: { arrays: parameters.critics, adam: trainables.critic.adam, stepsPerPass: 1 },
      temperature: {
        arrays: arraysOf(temperature, { logAlpha: [] }),
        adam: temperature.adam,
        stepsPerPass: config.temperature === 'learned' ? 1 : 0,
      },
    },
    sizes: specSizes(networks.specs),
    batchSize: config.batchSize,
    noises: ['nextNoise', 'noise'],
    metrics: { criticLosses, targetMean, actorLoss, entropy, temperatureLoss },
    losses: { 'critic loss': criticLosses, 'actor loss': actorLoss },
    pass: passOf(options),
  });
}

/** One update as a function of tensors: critics, actor, temperature, and the target that follows. */
const passOf =
  ({ config, networks }: StepOptions): Pass =>
  (before, [inputs], step) => {
    const [actor, critic, temperature] = [before.actor!, before.critic!, before.temperature!];
    const logAlpha = temperature.parameters.logAlpha as tf.Scalar;
    const transitions = transitionsOf(inputs!, networks);
    const ofCritics = criticStep(
      networks,
      { actor: actor.parameters, critic: critic.parameters, targetCritic: critic.target },
      transitions,
      inputs!.nextNoise as tf.Tensor2D,
      logAlpha,
      config,
    );
    const nextCritic = step('critic', critic, ofCritics.gradients);
    const { loss, gradients, entropy, temperatureLoss, temperatureGradient } = actorStep(
      networks,
      { actor: actor.parameters, critic: nextCritic.parameters },
      transitions,
      inputs!.noise as tf.Tensor2D,
      logAlpha,
      targetEntropyOf(config, networks),
    );
    const isLearned = config.temperature === 'learned';
    return {
      networks: {
        actor: step('actor', actor, gradients),
        critic: followed(nextCritic, config.tau),
        temperature: isLearned ? step('temperature', temperature, { logAlpha: temperatureGradient }) : temperature,
      },
      metrics: {
        criticLosses: ofCritics.losses,
        targetMean: tf.mean(ofCritics.target),
        actorLoss: loss,
        entropy,
        temperatureLoss,
      },
    };
  };
