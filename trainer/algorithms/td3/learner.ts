/** TD3 as a learner of the off-policy loop: owns parameters, optimisers and the compiled steps. */

import { clipToBounds } from '../../../src/contract/bounds.ts';
import type { Trainable } from '../../../src/optim/trainable.ts';
import { compileActing } from '../../off-policy/acting.ts';
import { createActorCritic } from '../../off-policy/actor-critic.ts';
import { publishable } from '../../off-policy/exports.ts';
import type { LearnerOptions, OffPolicyLearner } from '../../off-policy/learner.ts';
import { requireWholePasses } from '../../off-policy/update-runs.ts';
import { createLearning } from '../../off-policy/updates.ts';
import type { Publishable } from '../../run/algorithm.ts';
import type { Portable } from '../../run/portable-policy.ts';
import type { Td3Config } from './config.ts';
import { actorConfig, createTd3Networks, type Td3Networks } from './networks.ts';
import { createStepMemory } from './steps.ts';
import { createUpdates } from './updates.ts';

export type Td3Learner = OffPolicyLearner &
  Publishable &
  Portable & {
    readonly networks: Td3Networks;
    readonly actor: Trainable;
    readonly critic: Trainable;
  };

/**
 * Refuses what the learner would.
 * @throws HyperpolicyError invalid_argument: an unknown critic, options that it does not take, or `updatesPerRun` that is not 1 and no
 *   multiple of the policy delay
 */
export function checkTd3({
  config,
  specs,
  tasks,
  updatesPerRun = 1,
}: Omit<LearnerOptions<Td3Config>, 'engine' | 'seed'>): void {
  createTd3Networks(config, specs, tasks);
  requireWholePasses({ updatesPerRun, updatesPerPass: config.policyDelay });
}

/** A learner with freshly drawn parameters. @throws HyperpolicyError as {@link checkTd3} */
export function createTd3Learner(options: LearnerOptions<Td3Config>): Td3Learner {
  const { config, specs, tasks, engine, seed, updatesPerRun = 1 } = options;
  const networks = createTd3Networks(config, specs, tasks);
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
  const memory = createStepMemory(config, networks);
  const updates = createUpdates({ engine, config, networks, parameters, memory }, updatesPerRun);
  const learning = createLearning({
    where: 'TD3 learner',
    trainables,
    arrays: { actorLoss: memory.actorLoss },
    updates,
    metrics: () => ({
      criticLoss: memory.criticLoss[0]!,
      actorLoss: memory.actorLoss[0]!,
      targetMean: memory.targetMean[0]!,
    }),
  });
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
      clipToBounds(out, networks.scaling);
    },
    largestValue: (reward) => reward / (1 - config.gamma),
    portablePolicy: acting.portablePolicy,
    ...learning,
    ...publishable(networks, trainables, { policy: actorConfig(config), critic: config.critic, rewardScale: 1 }),
    dispose() {
      acting.dispose();
      updates.dispose();
    },
  };
}
