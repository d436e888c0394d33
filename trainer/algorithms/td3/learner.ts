/** TD3 behind the off-policy loop's interface. Owns parameters, optimisers and the compiled steps. */

import * as tf from '@tensorflow/tfjs-core';
import { createRandom } from '../../../src/contract/random.ts';
import type { PolicySpecs } from '../../../src/contract/tensor-spec.ts';
import { toEnvironment, toNormalised } from '../../../src/nn/action-scaling.ts';
import { initialise, type Parameters, shapesOf, under } from '../../../src/nn/parameters.ts';
import { createTrainable, type Trainable } from '../../../src/optim/trainable.ts';
import { valueAndGradients } from '../../../src/trace/differentiate.ts';
import { boundGradients, boundParameters, type Computation, type Engine } from '../../engine/engine.ts';
import { type Batch, createBatch } from '../../replay/batch.ts';
import type { OffPolicyLearner } from '../../run/learner.ts';
import { restoreArrays } from '../../run/restore.ts';
import type { Td3Config } from './config.ts';
import { actorLoss, criticLoss, criticTarget, type Transitions } from './losses.ts';
import { createTd3Networks, type Td3Networks } from './networks.ts';

export type Td3Learner = OffPolicyLearner & {
  readonly networks: Td3Networks;
  readonly actor: Trainable;
  readonly critic: Trainable;
};

/** Updates between two reports of metrics. */
const metricsInterval = 100;

/** Stream of the initial parameters' draws; the loop has its own for noise and sampling. */
const initialisationStream = 0x696e6974;

/**
 * A learner with freshly drawn parameters.
 * @param seed of the parameters' first values
 */
export function createTd3Learner({
  config,
  specs,
  engine,
  seed,
}: {
  config: Td3Config;
  specs: PolicySpecs;
  engine: Engine;
  seed: number;
}): Td3Learner {
  const networks = createTd3Networks(config, specs);
  const shapes = { actor: shapesOf(networks.actorSpecs), critic: shapesOf(networks.critic.specs) };
  const actor = createTrainable({ shapes: shapes.actor, learningRate: config.actorLearningRate, target: true });
  const critic = createTrainable({
    shapes: shapes.critic,
    stacks: Object.fromEntries((networks.critic.stacks ?? []).map(({ name, members }) => [name, members])),
    learningRate: config.criticLearningRate,
    target: true,
  });
  const random = createRandom(seed, initialisationStream);
  initialise(networks.actorSpecs, actor.parameters, random);
  initialise(networks.critic.specs, critic.parameters, random);
  actor.copyToTarget();
  critic.copyToTarget();

  const memory = createMemory(config, networks);
  const steps = compileSteps({ engine, config, networks, actor, critic, shapes, memory });
  const exploration = new Float32Array(networks.actionSize);
  let updateCount = 0;

  function act(observation: ArrayLike<number>, out: Float32Array): void {
    memory.single.set(observation);
    steps.act.run();
    out.set(memory.singleAction);
  }

  const arrays = () => ({
    ...prefixed('actor', actor.arrays()),
    ...prefixed('critic', critic.arrays()),
    actorLoss: memory.actorLoss,
  });

  return {
    networks,
    actor,
    critic,
    act,
    explore(observation, noise, out) {
      act(observation, out);
      noise.fillNormal(exploration);
      const { half } = networks.scaling;
      for (let i = 0; i < out.length; i++) out[i]! += config.explorationNoise * half[i]! * exploration[i]!;
      clipToBounds(out, specs);
    },
    learn(batch, noise) {
      copyBatch(batch, memory.batch);
      noise.fillNormal(memory.noise);
      steps.critic.run();
      critic.adam.step();
      updateCount++;
      if (updateCount % config.policyDelay === 0) {
        steps.actor.run();
        actor.adam.step();
        critic.followTarget(config.tau);
        actor.followTarget(config.tau);
      }
      if (updateCount % metricsInterval !== 0) return null;
      return { criticLoss: memory.criticLoss[0]!, actorLoss: memory.actorLoss[0]!, targetMean: memory.targetMean[0]! };
    },
    save() {
      const state = { updateCount, actorSteps: actor.adam.stepCount, criticSteps: critic.adam.stepCount };
      return { arrays: arrays(), state };
    },
    restore(checkpoint) {
      restoreArrays('TD3 learner', arrays(), checkpoint.arrays);
      const saved = checkpoint.state as { updateCount: number; actorSteps: number; criticSteps: number };
      updateCount = saved.updateCount;
      actor.adam.stepCount = saved.actorSteps;
      critic.adam.stepCount = saved.criticSteps;
    },
    dispose() {
      for (const step of Object.values(steps)) step.dispose();
    },
  };
}

type Memory = ReturnType<typeof createMemory>;

/** The arrays that the compiled steps read and write. */
function createMemory({ batchSize }: Td3Config, { observationSize, actionSize }: Td3Networks) {
  return {
    batch: createBatch({ size: batchSize, observationSize, actionSize }),
    noise: new Float32Array(batchSize * actionSize),
    single: new Float32Array(observationSize),
    singleAction: new Float32Array(actionSize),
    criticLoss: new Float32Array(1),
    actorLoss: new Float32Array(1),
    targetMean: new Float32Array(1),
  };
}

function compileSteps({
  engine,
  config,
  networks,
  actor,
  critic,
  shapes,
  memory,
}: {
  engine: Engine;
  config: Td3Config;
  networks: Td3Networks;
  actor: Trainable;
  critic: Trainable;
  shapes: { actor: Record<string, readonly number[]>; critic: Record<string, readonly number[]> };
  memory: Memory;
}): { act: Computation; critic: Computation; actor: Computation } {
  const { batch } = memory;
  const { observationSize, actionSize, scaling } = networks;
  const rows = config.batchSize;
  const observation = { shape: [rows, observationSize], data: batch.observation };
  const actorInputs = boundParameters('actor', actor.parameters, shapes.actor);
  const twins = twinsOf(networks, critic, shapes.critic);
  return {
    act: engine.compile({
      name: 'td3-act',
      inputs: { ...actorInputs, observation: { shape: [1, observationSize], data: memory.single } },
      outputs: { action: memory.singleAction },
      fn: (inputs) => ({
        action: toEnvironment(scaling, networks.actor(under('actor', inputs), inputs.observation as tf.Tensor2D)),
      }),
    }),
    critic: engine.compile({
      name: 'td3-critic',
      inputs: {
        ...boundParameters('critic', twins.parameters, twins.shapes),
        ...boundParameters('targetActor', actor.target, shapes.actor),
        ...boundParameters('targetCritic', twins.target, twins.shapes),
        observation,
        action: { shape: [rows, actionSize], data: batch.action },
        reward: { shape: [rows], data: batch.reward },
        nextObservation: { shape: [rows, observationSize], data: batch.nextObservation },
        terminated: { shape: [rows], data: batch.terminated },
        noise: { shape: [rows, actionSize], data: memory.noise },
      },
      outputs: { loss: memory.criticLoss, targetMean: memory.targetMean, ...boundGradients('d', twins.gradients) },
      fn: (inputs) => {
        const transitions = {
          ...(inputs as unknown as Transitions),
          action: toNormalised(scaling, inputs.action!) as tf.Tensor2D,
        };
        const targets = { actor: under('targetActor', inputs), critic: under('targetCritic', inputs) };
        const target = criticTarget(networks, targets, transitions, inputs.noise as tf.Tensor2D, config);
        const { value, gradients } = valueAndGradients(
          (parameters) => criticLoss(networks, parameters, transitions, target),
          under('critic', inputs),
        );
        return { loss: value, targetMean: tf.mean(target), ...prefixed('d', gradients) };
      },
    }),
    actor: engine.compile({
      name: 'td3-actor',
      inputs: {
        ...actorInputs,
        ...boundParameters('critic', firstMember(critic.parameters), shapes.critic),
        observation,
      },
      outputs: { loss: memory.actorLoss, ...boundGradients('d', actor.gradients) },
      fn: (inputs) => {
        const criticParameters: Parameters = under('critic', inputs);
        const { value, gradients } = valueAndGradients(
          (parameters) => actorLoss(networks, parameters, criticParameters, inputs.observation as tf.Tensor2D),
          under('actor', inputs),
        );
        return { loss: value, ...prefixed('d', gradients) };
      },
    }),
  };
}

/** The twins' arrays with their shapes: as stacks where the critic takes them, which halves the operations. */
function twinsOf({ critic: { stacks } }: Td3Networks, critic: Trainable, shapes: Record<string, readonly number[]>) {
  if (stacks === undefined) {
    const { parameters, gradients, target } = critic;
    return { parameters, gradients, target, shapes };
  }
  return { ...critic.stacked, shapes: Object.fromEntries(stacks.map(({ name, shape }) => [name, shape])) };
}

const prefixed = <T>(prefix: string, record: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [`${prefix}.${name}`, value]));

/** The actor's loss reads Q1 alone, with what the twins share. */
const firstMember = (views: Readonly<Record<string, Float32Array>>): Record<string, Float32Array> =>
  Object.fromEntries(Object.entries(views).filter(([name]) => !name.startsWith('q1.')));

function copyBatch(from: Batch, to: Batch): void {
  to.observation.set(from.observation);
  to.action.set(from.action);
  to.reward.set(from.reward);
  to.nextObservation.set(from.nextObservation);
  to.terminated.set(from.terminated);
}

function clipToBounds(action: Float32Array, { action: { low, high } }: PolicySpecs): void {
  for (let i = 0; i < action.length; i++) {
    action[i] = Math.min(Math.max(action[i]!, low[i] ?? -Infinity), high[i] ?? Infinity);
  }
}
