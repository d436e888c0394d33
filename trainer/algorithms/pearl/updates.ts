/** PEARL's updates as computations over fixed arrays: a batch of N tasks comes in, and all networks are stepped. */

import * as tf from '@tensorflow/tfjs-core';
import type { Random } from '../../../src/contract/random.ts';
import { toNormalised } from '../../../src/nn/action-scaling.ts';
import { type Parameters, prefixed, under } from '../../../src/nn/parameters.ts';
import { type BoundInput, boundParameters, type Computation, type Engine } from '../../engine/engine.ts';
import { requireFiniteLoss, takeStep } from '../../off-policy/finite-loss.ts';
import { boundBatch, transitionsOf } from '../../off-policy/transitions.ts';
import { type Batch, createBatch, partsOf } from '../../replay/batch.ts';
import type { PearlConfig } from './config.ts';
import type { Context } from './losses.ts';
import type { AgentNetworks, PearlNetworks, TaskNetworks } from './networks.ts';
import type { PearlParameters } from './parameters.ts';
import { givenQStep, policyStep, qStep } from './steps.ts';

/** Means over the updates of an iteration are its metrics. */
export type UpdateMetrics = Readonly<Record<string, number>>;

export type Updates = {
  /** Rows of each of N tasks; written before an update. */
  readonly batches: readonly Batch[];
  /** Transitions of each task for the encoder; none if z is not inferred. */
  readonly contexts: readonly Batch[];
  /** z of each task if it is given, [N, Z], as the networks read it. */
  readonly latents: Float32Array;
  /**
   * One update with what was written.
   * @param random noise of z and of the actions
   * @throws RefusedUpdate: a loss that is not finite; that update is not taken. PartialUpdate: one that is not finite after a part of it, or a
   *   gradient that the optimiser cannot take
   */
  update(random: Random): UpdateMetrics;
  dispose(): void;
};

export type UpdatesOptions = {
  readonly engine: Engine;
  readonly config: PearlConfig;
  readonly networks: AgentNetworks;
  readonly parameters: PearlParameters;
  /** Z. */
  readonly latentSize: number;
};

export function createUpdates(options: UpdatesOptions): Updates {
  const { config, parameters } = options;
  const memory = createMemory(options);
  const steps = {
    q: parameters.encoder === undefined ? compileGivenQStep(options, memory) : compileQStep(options, memory),
    policy: compilePolicyStep(options, memory),
  };
  const { trainables, encoder } = parameters;
  return {
    batches: partsOf(memory.batch, config.metaBatchSize),
    contexts: memory.context === undefined ? [] : partsOf(memory.context, config.metaBatchSize),
    latents: memory.latent,
    update(random) {
      random.fillNormal(memory.latentNoise);
      random.fillNormal(memory.noise);
      steps.q.run();
      for (const loss of memory.qLosses) requireFiniteLoss('Q loss', loss);
      requireFiniteLoss('KL divergence', memory.kl[0]!);
      takeStep('Q loss', trainables.q.adam);
      if (encoder !== undefined) takeStep('encoder loss', encoder.trainable.adam);
      steps.policy.run();
      requireFiniteLoss('V loss', memory.valueLoss[0]!, { isBegun: true });
      requireFiniteLoss('policy loss', memory.policyLoss[0]!, { isBegun: true });
      takeStep('V loss', trainables.value.adam);
      trainables.value.followTarget(config.tau);
      takeStep('policy loss', trainables.policy.adam);
      return metricsOf(memory, encoder !== undefined);
    },
    dispose() {
      for (const step of Object.values(steps)) step.dispose();
    },
  };
}

type Memory = ReturnType<typeof createMemory>;

function createMemory({ config, networks, latentSize, parameters }: UpdatesOptions) {
  const { metaBatchSize, batchSize, contextBatchSize } = config;
  const { observationSize, actionSize } = networks.q.sizes;
  const rows = (size: number) => createBatch({ size: metaBatchSize * size, observationSize, actionSize });
  return {
    batch: rows(batchSize),
    context: parameters.encoder === undefined ? undefined : rows(contextBatchSize),
    latentNoise: new Float32Array(metaBatchSize * latentSize),
    noise: new Float32Array(metaBatchSize * batchSize * actionSize),
    latent: new Float32Array(metaBatchSize * latentSize),
    kl: new Float32Array(1),
    qLosses: new Float32Array(2),
    targetMean: new Float32Array(1),
    valueLoss: new Float32Array(1),
    policyLoss: new Float32Array(1),
    entropy: new Float32Array(1),
  };
}

const metricsOf = (
  { kl, qLosses, targetMean, valueLoss, policyLoss, entropy }: Memory,
  inferred: boolean,
): UpdateMetrics => ({
  qLoss: qLosses[0]! + qLosses[1]!,
  targetMean: targetMean[0]!,
  ...(inferred && { kl: kl[0]! }),
  valueLoss: valueLoss[0]!,
  policyLoss: policyLoss[0]!,
  entropy: entropy[0]!,
});

function compileQStep(options: UpdatesOptions, memory: Memory): Computation {
  const { engine, config, networks, parameters, latentSize } = options;
  const { encoder, q, value } = parameters;
  const { metaBatchSize, contextBatchSize } = config;
  return engine.compile({
    name: 'pearl-q-step',
    inputs: {
      ...boundParameters('encoder', encoder!.arrays.parameters, encoder!.arrays.shapes),
      ...boundParameters('q', q.parameters, q.shapes),
      ...boundParameters('target', value.target, value.shapes),
      ...boundBatch(memory.batch, sizesOf(networks)),
      ...boundContext(memory.context!, [metaBatchSize, contextBatchSize], options),
      latentNoise: { shape: [metaBatchSize, latentSize], data: memory.latentNoise },
    },
    outputs: {
      latent: memory.latent,
      kl: memory.kl,
      losses: memory.qLosses,
      targetMean: memory.targetMean,
      ...prefixed('dq', q.gradients),
      ...prefixed('dencoder', encoder!.arrays.gradients),
    },
    fn: (inputs) => {
      const step = qStep(
        networks as PearlNetworks,
        { encoder: under('encoder', inputs), q: under('q', inputs), targetValue: under('target', inputs) },
        { context: contextOf(inputs, networks), transitions: transitionsOf(inputs, networks) },
        inputs.latentNoise as tf.Tensor2D,
        config,
      );
      const { latent, kl, losses, target } = step;
      return {
        latent,
        kl,
        losses,
        targetMean: tf.mean(target),
        ...prefixed('dq', step.q),
        ...prefixed('dencoder', step.encoder),
      };
    },
  });
}

function compileGivenQStep(options: UpdatesOptions, memory: Memory): Computation {
  const { engine, config, networks, parameters } = options;
  const { q, value } = parameters;
  return engine.compile({
    name: 'pearl-q-step',
    inputs: {
      ...boundParameters('q', q.parameters, q.shapes),
      ...boundParameters('target', value.target, value.shapes),
      ...boundBatch(memory.batch, sizesOf(networks)),
      ...boundLatent(options, memory),
    },
    outputs: { losses: memory.qLosses, targetMean: memory.targetMean, ...prefixed('dq', q.gradients) },
    fn: (inputs) => {
      const {
        losses,
        target,
        q: gradients,
      } = givenQStep(
        networks,
        { q: under('q', inputs), targetValue: under('target', inputs) },
        transitionsOf(inputs, networks),
        inputs.latent as tf.Tensor2D | undefined,
        config,
      );
      return { losses, targetMean: tf.mean(target), ...prefixed('dq', gradients) };
    },
  });
}

function compilePolicyStep(options: UpdatesOptions, memory: Memory): Computation {
  const { engine, config, networks, parameters } = options;
  const { policy, value, q } = parameters;
  const { observation } = boundBatch(memory.batch, sizesOf(networks));
  return engine.compile({
    name: 'pearl-policy-step',
    inputs: {
      ...boundParameters('policy', policy.parameters, policy.shapes),
      ...boundParameters('value', value.parameters, value.shapes),
      ...boundParameters('q', q.parameters, q.shapes),
      observation,
      ...boundLatent(options, memory),
      noise: { shape: [memory.batch.size, networks.q.sizes.actionSize], data: memory.noise },
    },
    outputs: {
      valueLoss: memory.valueLoss,
      policyLoss: memory.policyLoss,
      entropy: memory.entropy,
      ...prefixed('dvalue', value.gradients),
      ...prefixed('dpolicy', policy.gradients),
    },
    fn: (inputs) => {
      const step = policyStep(
        networks,
        { policy: under('policy', inputs), value: under('value', inputs), q: under('q', inputs) },
        inputs.observation as tf.Tensor2D,
        inputs.latent as tf.Tensor2D | undefined,
        inputs.noise as tf.Tensor2D,
        config,
      );
      const { valueLoss, policyLoss, entropy } = step;
      return {
        ...{ valueLoss, policyLoss, entropy },
        ...prefixed('dvalue', step.value),
        ...prefixed('dpolicy', step.policy),
      };
    },
  });
}

const sizesOf = ({ q }: TaskNetworks) => ({
  observationSize: q.sizes.observationSize,
  actionSize: q.sizes.actionSize,
  contextSize: 0,
});

const boundLatent = ({ config, latentSize }: UpdatesOptions, { latent }: Memory): Record<string, BoundInput> =>
  latentSize === 0 ? {} : { latent: { shape: [config.metaBatchSize, latentSize], data: latent } };

/** Inputs that read a batch of N tasks with T transitions each. @param shape [N, T] */
export function boundContext(
  { observation, action, reward, nextObservation }: Batch,
  shape: readonly [number, number],
  { networks, config }: Pick<UpdatesOptions, 'networks' | 'config'>,
): Record<string, BoundInput> {
  const { observationSize, actionSize } = networks.q.sizes;
  return {
    'context.observation': { shape: [...shape, observationSize], data: observation },
    'context.action': { shape: [...shape, actionSize], data: action },
    'context.reward': { shape, data: reward },
    ...(config.encodesNextObservation && {
      'context.nextObservation': { shape: [...shape, observationSize], data: nextObservation },
    }),
  };
}

/** The tensors of {@link boundContext}, actions normalised. */
export function contextOf(inputs: Parameters, { scaling }: TaskNetworks): Context {
  const context = under('context', inputs) as unknown as Context;
  return { ...context, action: toNormalised(scaling, context.action) as tf.Tensor3D };
}
