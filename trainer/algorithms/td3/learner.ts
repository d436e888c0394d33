/** TD3 as a learner of the off-policy loop: owns parameters, optimisers and the compiled steps. */

import type { PolicySpecs } from '../../../src/contract/tensor-spec.ts';
import type { TaskDistribution } from '../../../src/envs/task-distribution.ts';
import type { Trainable } from '../../../src/optim/trainable.ts';
import type { Engine } from '../../engine/engine.ts';
import { compileActing } from '../../off-policy/acting.ts';
import { createActorCritic } from '../../off-policy/actor-critic.ts';
import { clipToBounds } from '../../off-policy/bounds.ts';
import { actorCriticFiles, actorCriticModel } from '../../off-policy/exports.ts';
import { requireFiniteLoss } from '../../off-policy/finite-loss.ts';
import type { OffPolicyLearner } from '../../off-policy/learner.ts';
import { learnerState } from '../../off-policy/learner-state.ts';
import { copyBatch } from '../../off-policy/transitions.ts';
import type { Publishable } from '../../run/algorithm.ts';
import type { Portable } from '../../run/portable-policy.ts';
import type { Td3Config } from './config.ts';
import { actorConfig, createTd3Networks, type Td3Networks } from './networks.ts';
import { compileActorStep, compileCriticStep, createStepMemory, type StepMemory } from './steps.ts';

export type Td3Learner = OffPolicyLearner &
  Publishable &
  Portable & {
    readonly networks: Td3Networks;
    readonly actor: Trainable;
    readonly critic: Trainable;
  };

/** Updates between two reports of metrics. */
const metricsInterval = 100;

/**
 * A learner with freshly drawn parameters.
 * @param seed of the parameters' first values
 * @throws HyperpolicyError invalid_argument: an unknown critic, or options that it does not take
 */
export function createTd3Learner(options: {
  readonly config: Td3Config;
  readonly specs: PolicySpecs;
  /** Of the environment, where it poses several; what contexts are normalised by. */
  readonly tasks?: Pick<TaskDistribution, 'ranges'> | null | undefined;
  readonly engine: Engine;
  readonly seed: number;
}): Td3Learner {
  const { config, specs, engine, seed } = options;
  const networks = createTd3Networks(config, specs, options.tasks ?? null);
  const { actorLearningRate, criticLearningRate } = config;
  const parameters = createActorCritic(networks, { actorLearningRate, criticLearningRate, actorTarget: true, seed });
  const { trainables } = parameters;
  const acting = compileActing({
    engine,
    name: 'td3-act',
    networks,
    actor: parameters.actor,
    noisy: false,
    action: (values, { observation, context }) => networks.actor(values, observation, context),
  });
  const updates = createUpdates({ engine, config, networks, parameters });
  const exploration = new Float32Array(specs.action.names.length);

  return {
    networks,
    ...trainables,
    act: (observation, out, context) => acting.act(observation, context, out),
    explore(observation, random, out, context) {
      acting.act(observation, context, out);
      random.fillNormal(exploration);
      const { half } = networks.scaling;
      for (let i = 0; i < out.length; i++) out[i]! += config.explorationNoise * half[i]! * exploration[i]!;
      clipToBounds(out, specs.action);
    },
    portablePolicy: acting.portablePolicy,
    learn: updates.learn,
    save: updates.save,
    restore: updates.restore,
    model: () => actorCriticModel(networks, trainables, 1),
    networkFiles: () =>
      actorCriticFiles(networks, trainables, { policy: actorConfig(config), critic: config.critic, rewardScale: 1 }),
    dispose() {
      acting.dispose();
      updates.dispose();
    },
  };
}

type UpdateOptions = Omit<Parameters<typeof compileCriticStep>[0], 'memory'>;

/** The updates with what they keep between each other. */
function createUpdates({
  engine,
  config,
  networks,
  parameters,
}: UpdateOptions): Pick<OffPolicyLearner, 'learn' | 'save' | 'restore' | 'dispose'> {
  const { actor, critic } = parameters.trainables;
  const memory = createStepMemory(config, networks);
  const steps = {
    critic: compileCriticStep({ engine, config, networks, parameters, memory }),
    actor: compileActorStep({ engine, networks, parameters, memory }),
  };
  const state = learnerState<{ updateCount: number }>(
    'TD3 learner',
    { actor, critic },
    { actorLoss: memory.actorLoss },
  );
  let updateCount = 0;
  return {
    learn(batch, random) {
      copyBatch(batch, memory.batch);
      random.fillNormal(memory.noise);
      steps.critic.run();
      requireFiniteLoss('critic loss', memory.criticLoss[0]!);
      critic.adam.step();
      updateCount++;
      if (updateCount % config.policyDelay === 0) {
        steps.actor.run();
        requireFiniteLoss('actor loss', memory.actorLoss[0]!);
        actor.adam.step();
        critic.followTarget(config.tau);
        actor.followTarget(config.tau);
      }
      return updateCount % metricsInterval === 0 ? metricsOf(memory) : null;
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

const metricsOf = ({ criticLoss, actorLoss, targetMean }: StepMemory) => ({
  criticLoss: criticLoss[0]!,
  actorLoss: actorLoss[0]!,
  targetMean: targetMean[0]!,
});
