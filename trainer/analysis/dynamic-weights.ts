/**
 * The weights of networks by layer: those that a primary generates for some meta inputs, and those that a plain network holds. For one
 * version; weight-study.ts compares several.
 */

import { failedPrecondition } from '../../src/contract/errors.ts';
import { createRandom } from '../../src/contract/random.ts';
import { specSizes } from '../../src/contract/tensor-spec.ts';
import type { Env } from '../../src/envs/env.ts';
import { heldLayers } from '../../src/onnx/held-layers.ts';
import { floatTensor, openSession, type TensorMap } from '../../src/onnx/session.ts';
import type { Manifest } from '../../src/package/manifest.ts';
import type { ModelPackage } from '../../src/package/package.ts';
import { createPackagePolicy } from '../rollout/policy.ts';
import { concatenated } from './concatenated.ts';
import { reachedStates } from './gradient-accuracy.ts';
import { observationsOf } from './lockstep.ts';

/** All values of a layer, those of twins and of all meta inputs side by side. */
export type LayerValues = {
  /** What a layer without a gain would have: g W. */
  readonly weights: Float32Array;
  readonly biases: Float32Array;
};

export type NetworkName = 'critic' | 'policy';

/**
 * Which network of a model generates weights: its critic if that does, else its policy.
 * @throws HyperpolicyError failed_precondition: none does, or not the one that was asked for
 */
export function generatingNetwork({ directory, manifest }: ModelPackage, asked?: NetworkName): NetworkName {
  const names = asked === undefined ? (['critic', 'policy'] as const) : [asked];
  const found = names.find((name) => manifest[name]?.kind === 'hyper');
  if (found !== undefined) return found;
  throw failedPrecondition({
    where: directory,
    expected: `a ${names.join(' or a ')} whose weights a primary generates`,
    actual: names.map((name) => describe(name, manifest)).join(' and '),
    remedy: 'Critics of "train --critic sa-hyper" and policies of "train --policy hyper" are such',
  });
}

const describe = (name: NetworkName, manifest: Manifest): string =>
  manifest[name] === null ? `no ${name}` : `the ${name} "${manifest[name].architecture}"`;

/**
 * Generates weights. A critic's are of states that the policy reaches (`reachedStates`), a policy's of training tasks of the environment,
 * or, where the context is latent, of draws from its prior N(0, I).
 * @throws HyperpolicyError failed_precondition: a critic beside a policy that cannot act here; tasks of other sizes; heads of low rank,
 *   whose weights are not generated whole
 */
export function generatedLayers(
  content: ModelPackage,
  network: NetworkName,
  options: { readonly env: Env; readonly inputCount: number; readonly seed: number },
): LayerValues[] {
  const entry = content.manifest[network];
  if (entry?.kind !== 'hyper') throw new Error(`${content.directory}: the ${network} has no primary`);
  const { file } = entry.primary;
  const session = openSession(content.files.get(file)!, { threadCount: 1, foreign: true }, file);
  try {
    const inputs = network === 'critic' ? reachedInputs(content, options) : taskInputs(content, options);
    const [name] = session.inputs.map((input) => input.name) as [string];
    const shape = [options.inputCount, inputs.length / options.inputCount];
    return effectiveLayers(session.run({ [name]: floatTensor(inputs, shape) }), content.directory);
  } finally {
    session.dispose();
  }
}

type InputOptions = { readonly env: Env; readonly inputCount: number; readonly seed: number };

/** [K, O] */
function reachedInputs(content: ModelPackage, { env, inputCount, seed }: InputOptions): Float32Array {
  const policy = createPackagePolicy(content, { specs: env.specs, threadCount: 1 });
  try {
    return observationsOf(reachedStates({ env, policy }, { stateCount: inputCount, seed }).places);
  } finally {
    policy.dispose();
  }
}

const latentStream = 0x6c617465;

/** [K, C] */
function taskInputs({ directory, manifest }: ModelPackage, { env, inputCount, seed }: InputOptions): Float32Array {
  const { contextSize } = specSizes(manifest);
  if (manifest.context?.source === 'latent') {
    const drawn = new Float32Array(inputCount * contextSize);
    createRandom(seed, latentStream).fillNormal(drawn);
    return drawn;
  }
  const size = env.specs.context?.names.length ?? 0;
  if (env.tasks === null || size !== contextSize) {
    throw failedPrecondition({
      where: directory,
      expected: `an environment whose tasks have ${contextSize} values`,
      actual: `${env.name}, with ${size}`,
      remedy: `Name the environment that it was trained in, "${manifest.environment}"`,
    });
  }
  const contexts = env.tasks.sample({ split: 'train', seed, count: inputCount });
  return Float32Array.from(contexts.flatMap((context) => [...context]));
}

/** w0 g0 b0 w1 g1 b1 ... of [K, I, O] or, of twins, [K, Q, I, O]. */
function effectiveLayers(outputs: TensorMap, directory: string): LayerValues[] {
  const layerCount = Object.keys(outputs).filter((name) => /^w\d+$/.test(name)).length;
  const sizes = Array.from({ length: layerCount }, (_, i) => outputs[`w${i}`]!.dims.slice(-2) as [number, number]);
  // A head of low rank gives one row of R values in place of a matrix.
  if (layerCount > 1 && sizes[1]![0] !== outputs.g0!.dims.at(-1)) {
    throw failedPrecondition({
      where: directory,
      expected: 'weights that are generated whole',
      actual: `heads of rank ${sizes[0]![1]}`,
      remedy: 'Study a model that was trained without a headRank',
    });
  }
  return sizes.map(([inputSize, outputSize], layer) => {
    const values = (part: 'w' | 'g' | 'b') => outputs[`${part}${layer}`]!.data as Float32Array;
    const [weights, gains] = [values('w'), values('g')];
    const perBlock = inputSize * outputSize;
    return {
      weights: weights.map((weight, i) => weight * gains[Math.floor(i / perBlock) * outputSize + (i % outputSize)]!),
      biases: values('b').slice(),
    };
  });
}

/**
 * The weights that a plain network holds, those of twins side by side.
 * @throws HyperpolicyError failed_precondition: no such network, or one of other layers than these
 */
export function plainLayers(content: ModelPackage, network: NetworkName, layerCount: number): LayerValues[] {
  const { directory, manifest, files } = content;
  const entry = manifest[network];
  const refuse = (actual: string) =>
    failedPrecondition({
      where: directory,
      expected: `a plain ${network} of ${layerCount} layers to compare with`,
      actual,
      remedy:
        network === 'critic' ? 'Train one with --critic mlp-small' : 'Train one with as many --actor-hidden layers',
    });
  if (entry?.kind !== 'plain') throw refuse(describe(network, manifest));
  const layers = heldLayers(files.get(entry.graph.file)!);
  const memberCount = network === 'critic' ? manifest.critic!.ensembleSize : 1;
  if (layers.length !== layerCount * memberCount) {
    throw refuse(`${describe(network, manifest)}, whose graph has ${layers.length / memberCount}`);
  }
  return Array.from({ length: layerCount }, (_, layer) => {
    const own = layers.filter((_layer, i) => i % layerCount === layer);
    return {
      weights: concatenated(
        Float32Array,
        own.map(({ weights }) => weights),
      ),
      biases: concatenated(
        Float32Array,
        own.map(({ biases }) => biases),
      ),
    };
  });
}
