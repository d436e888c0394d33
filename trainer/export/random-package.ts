/**
 * Packages with random parameters, of any kind that the manifest allows: to try, test and load a server without training. The networks
 * are those of src/nn, exported and probed as trained ones are; they control nothing.
 */

import * as tf from '@tensorflow/tfjs-core';
import { invalidArgument } from '../../src/contract/errors.ts';
import { createRandom } from '../../src/contract/random.ts';
import { mapValues } from '../../src/contract/records.ts';
import { type PolicySpecs, plainSpec, type SpecSizes, specSizes } from '../../src/contract/tensor-spec.ts';
import { actionScaling } from '../../src/nn/action-scaling.ts';
import { createCritic } from '../../src/nn/critics/registry.ts';
import { createEncoder } from '../../src/nn/encoders/registry.ts';
import { drawParameters, type ParameterSpecs, shapesOf } from '../../src/nn/parameters.ts';
import { hyperPolicy } from '../../src/nn/policies/hyper.ts';
import { mlpPolicy } from '../../src/nn/policies/mlp.ts';
import { logProbOf, type Policy, policyOutput } from '../../src/nn/policies/policy.ts';
import { type PublishedPackage, publishPackage } from '../../src/package/package.ts';
import { valueAndGradients } from '../../src/trace/differentiate.ts';
import { createTracedEngine } from '../engine/traced.ts';
import type { EncoderExport } from './adaptation.ts';
import type { CriticExport } from './critic.ts';
import type { NetworkParameters } from './graphs.ts';
import type { TrainedModel } from './model.ts';
import { exportModel, type PackageContent } from './package.ts';
import type { PolicyExport } from './policy.ts';

export type NetworkKind = 'plain' | 'hyper' | 'none';

export type RandomSizes = SpecSizes & {
  /** Width of the hidden layers of plain and dynamic networks. */
  readonly hiddenSize: number;
  /** Widths of the primary's stages. */
  readonly trunkSizes: readonly number[];
};

export type RandomOptions = Partial<RandomSizes> & {
  readonly policy: NetworkKind;
  readonly critic: NetworkKind;
  /** The policy can be sampled. */
  readonly stochastic?: boolean;
  readonly contextSource?: 'oracle' | 'latent';
  /** Infers the context, which is latent then. */
  readonly encoder?: boolean;
  /** An inner step, on a hyper policy's weights or on a plain one's parameters; it must be stochastic. */
  readonly adapt?: boolean;
  /** Named in the manifest; its specs give the sizes. */
  readonly environment?: PolicySpecs & { readonly name: string };
  readonly seed?: number;
};

export type RandomPackageOptions = RandomOptions & { readonly store: string; readonly model: string };

/** HalfCheetah's sizes and a small trunk; a hyper policy gets a context of two values, an encoder too. */
const defaultSizes: RandomSizes = {
  observationSize: 17,
  actionSize: 6,
  contextSize: 0,
  hiddenSize: 64,
  trunkSizes: [64],
};

/** Small beside the weights, but large enough to change actions visibly. */
const innerStepSize = 0.1;

/** @throws HyperpolicyError as randomPackage and publishPackage */
export const publishRandomPackage = async ({
  store,
  model,
  ...options
}: RandomPackageOptions): Promise<PublishedPackage> => publishPackage({ store, model, ...randomPackage(options) });

/**
 * A package that depends on the options and the seed alone.
 * @throws HyperpolicyError invalid_argument: no network; an inner step without a stochastic policy
 */
export function randomPackage(options: RandomOptions): PackageContent {
  const { policy, critic, stochastic = false, encoder = false, adapt = false, environment, seed = 1 } = options;
  if (policy === 'none' && critic === 'none') {
    throw invalidArgument({ where: 'make-random', expected: 'a policy or a critic', actual: 'neither' });
  }
  if (adapt && (policy === 'none' || !stochastic)) {
    const actual = policy === 'none' ? 'none' : 'a deterministic one';
    throw invalidArgument({ where: 'make-random adapt', expected: 'a stochastic policy', actual });
  }
  const sizes = sizesOf(options);
  const specs = specsOf(options, sizes);
  // Actions lie in [-1, 1] whatever the bounds are; the server clips them to narrower ones.
  const units = { scaling: actionScaling(plainSpec('action', sizes.actionSize)) };
  const ofPolicy = policy === 'none' ? null : randomPolicy(policy, sizes, { stochastic, seed, adapt });
  return exportModel({
    model: 'random',
    algorithm: 'random',
    environment: environment?.name ?? 'none',
    specs,
    rewardScale: 1,
    policy: ofPolicy && { ...ofPolicy, ...units },
    critic: critic === 'none' ? null : { ...randomCritic(critic, sizes, seed + 1), ...units },
    ...(encoder && { encoder: { ...randomEncoder(sizes, seed + 2), ...units, prior: 'start' } }),
    ...(adapt && adaptationOf(ofPolicy!.policy)),
    training: { config: {}, seed, steps: 0, evaluations: [], sourceRevision: 'random' },
    engine: createTracedEngine({ threadCount: 1 }),
  });
}

function sizesOf(options: RandomOptions): RandomSizes {
  const { environment, policy, encoder } = options;
  const given = { ...defaultSizes, ...options, ...(environment && specSizes(environment)) };
  return { ...given, contextSize: given.contextSize || (policy === 'hyper' || encoder === true ? 2 : 0) };
}

function specsOf(
  { environment, contextSource = 'oracle', encoder }: RandomOptions,
  { observationSize, actionSize, contextSize }: RandomSizes,
): PolicySpecs {
  const context = (): PolicySpecs['context'] => {
    if (encoder === true) return { ...plainSpec('latent', contextSize), source: 'latent' };
    if (environment?.context) return environment.context;
    return contextSize === 0 ? null : { ...plainSpec('context', contextSize), source: contextSource };
  };
  return {
    observation: environment?.observation ?? plainSpec('observation', observationSize),
    action: environment?.action ?? plainSpec('action', actionSize, { low: -1, high: 1 }),
    context: context(),
  };
}

const drawn = (specs: ParameterSpecs, seed: number): NetworkParameters => ({
  views: drawParameters(specs, createRandom(seed)),
  shapes: shapesOf(specs),
});

/** A step on generated weights as hyper policies take it, or on all parameters as plain ones do. */
function adaptationOf(policy: Policy): Pick<TrainedModel, 'step' | 'adaptation'> {
  const advantages = { discount: 0.95, lambda: 1 };
  if (policy.split !== undefined) return { step: { stepSize: innerStepSize, ...advantages } };
  return {
    adaptation: {
      ...advantages,
      adapt(parameters, context, { observation, action, coefficient }) {
        const { gradients } = valueAndGradients((at) => {
          const logProb = logProbOf(policy, policyOutput(policy, at, observation, context), action);
          return tf.sum(tf.mul(coefficient, logProb)) as tf.Scalar;
        }, parameters);
        return mapValues(parameters, (value, name) => tf.add(value, tf.mul(gradients[name]!, innerStepSize)));
      },
    },
  };
}

/** Sampled actions lie between the bounds: tanh-gaussian. A plain policy that adapts is a Gaussian one. */
export function randomPolicy(
  kind: 'plain' | 'hyper',
  { hiddenSize, trunkSizes, ...sizes }: RandomSizes,
  {
    stochastic,
    seed,
    adapt = false,
  }: { readonly stochastic: boolean; readonly seed: number; readonly adapt?: boolean },
): Pick<PolicyExport, 'policy' | 'parameters'> {
  const sampled = adapt && kind === 'plain' ? 'gaussian' : 'tanh-gaussian';
  const distribution = stochastic ? sampled : 'deterministic';
  const policy =
    kind === 'hyper'
      ? hyperPolicy('hyper', distribution, sizes, { trunkSizes, dynamicHiddenSizes: [hiddenSize] })
      : mlpPolicy('mlp', distribution, sizes, [hiddenSize, hiddenSize]);
  return { policy, parameters: drawn(policy.specs, seed) };
}

/** Twins, of the observation and the action alone. The paper's initialisation would begin with gradients of almost zero. */
export function randomCritic(
  kind: 'plain' | 'hyper',
  { observationSize, actionSize, hiddenSize, trunkSizes }: RandomSizes,
  seed: number,
): Pick<CriticExport, 'critic' | 'parameters'> {
  const config =
    kind === 'hyper'
      ? {
          architecture: 'sa-hyper',
          trunkSizes,
          dynamicHiddenSizes: [hiddenSize],
          initialisation: 'default' as const,
        }
      : { architecture: 'mlp-small', hiddenSizes: [hiddenSize] };
  const critic = createCritic(config, { observationSize, actionSize, ensembleSize: 2 });
  return { critic, parameters: drawn(critic.specs, seed) };
}

function randomEncoder(
  { observationSize, actionSize, contextSize, hiddenSize }: RandomSizes,
  seed: number,
): Pick<EncoderExport, 'encoder' | 'parameters'> {
  const encoder = createEncoder(
    { architecture: 'pearl-encoder', hiddenSizes: [hiddenSize] },
    { transitionSize: observationSize + actionSize + 1, latentSize: contextSize },
  );
  return { encoder, parameters: drawn(encoder.specs, seed) };
}
