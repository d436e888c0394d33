/** TD3's updates: step by step with the optimisers between, or several in one run. */

import type * as tf from '@tensorflow/tfjs-core';
import { specSizes } from '../../../src/contract/tensor-spec.ts';
import { firstCriticOf } from '../../off-policy/actor-critic.ts';
import { requireFiniteLoss, takeStep } from '../../off-policy/finite-loss.ts';
import { followed } from '../../off-policy/network-tensors.ts';
import { copyBatch, statesOf, transitionsOf } from '../../off-policy/transitions.ts';
import { createUpdateRuns } from '../../off-policy/update-runs.ts';
import type { Updates } from '../../off-policy/updates.ts';
import { actorStep, compileActorStep, compileCriticStep, criticStep, type StepOptions } from './steps.ts';

/** @throws HyperpolicyError invalid_argument: `updatesPerRun` that is not 1 and no multiple of the policy delay */
export const createUpdates = (options: StepOptions, updatesPerRun: number): Updates =>
  updatesPerRun === 1 ? singleUpdates(options) : updateRuns(options, updatesPerRun);

function singleUpdates(options: StepOptions): Updates {
  const { config, parameters, memory } = options;
  const { actor, critic } = parameters.trainables;
  const steps = { critic: compileCriticStep(options), actor: compileActorStep(options) };
  return {
    take(batch, random) {
      copyBatch(batch, memory.batch);
      random.fillNormal(memory.noise);
      steps.critic.run();
      requireFiniteLoss('critic loss', memory.criticLoss[0]!);
      takeStep('critic loss', critic.adam);
      if (critic.adam.stepCount % config.policyDelay === 0) {
        steps.actor.run();
        requireFiniteLoss('actor loss', memory.actorLoss[0]!, { isBegun: true });
        takeStep('actor loss', actor.adam);
        critic.followTarget(config.tau);
        actor.followTarget(config.tau);
      }
      return 1;
    },
    dispose() {
      for (const step of Object.values(steps)) step.dispose();
    },
  };
}

/** A pass is the updates of the critics for one of the actor. */
function updateRuns({ engine, config, networks, parameters, memory }: StepOptions, updatesPerRun: number): Updates {
  const { trainables } = parameters;
  const { criticLoss, targetMean, actorLoss } = memory;
  return createUpdateRuns({
    engine,
    name: 'td3-updates',
    updatesPerRun,
    updatesPerPass: config.policyDelay,
    networks: {
      actor: { arrays: parameters.actor, adam: trainables.actor.adam, stepsPerPass: 1 },
      critic: { arrays: parameters.critics, adam: trainables.critic.adam, stepsPerPass: config.policyDelay },
    },
    sizes: specSizes(networks.specs),
    batchSize: config.batchSize,
    noises: ['noise'],
    metrics: { criticLoss, targetMean, actorLoss },
    losses: { 'critic loss': criticLoss, 'actor loss': actorLoss },
    pass(before, updates, step) {
      const actor = before.actor!;
      let critic = before.critic!;
      const steps = updates.map((inputs) => {
        const taken = criticStep(
          networks,
          { critic: critic.parameters, targets: { actor: actor.target, critic: critic.target } },
          transitionsOf(inputs, networks),
          inputs.noise as tf.Tensor2D,
          config,
        );
        critic = step('critic', critic, taken.gradients);
        return taken;
      });
      const firstCritic = firstCriticOf(networks.critic, critic.parameters);
      const ofActor = actorStep(
        networks,
        { actor: actor.parameters, firstCritic },
        statesOf(updates.at(-1)!, networks),
      );
      const last = steps.at(-1)!;
      return {
        networks: {
          actor: followed(step('actor', actor, ofActor.gradients), config.tau),
          critic: followed(critic, config.tau),
        },
        metrics: { criticLoss: last.loss, targetMean: last.targetMean, actorLoss: ofActor.loss },
      };
    },
  });
}
