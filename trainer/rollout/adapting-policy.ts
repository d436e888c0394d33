/**
 * A published model that adapts to experience, in this process: it acts and adapts as in its trainer's evaluations and as a server has
 * it, for one environment.
 *
 * - By an encoder (PEARL): each episode has z drawn from N(0, I) before adaptation, and from the posterior after it. Actions are
 *   deterministic.
 * - By steps on its weights (MAML): actions are samples before adaptation and after it.
 */

import { policyGradientCoefficients } from '../../src/advantages/policy-gradient.ts';
import { failedPrecondition } from '../../src/contract/errors.ts';
import { normalRow } from '../../src/contract/random.ts';
import { runToEnd } from '../../src/contract/sliced.ts';
import { type PolicySpecs, specSizes } from '../../src/contract/tensor-spec.ts';
import { feedsOf } from '../../src/onnx/feeds.ts';
import { openSession } from '../../src/onnx/session.ts';
import type { SmallWeights } from '../../src/onnx/small-network.ts';
import { rowRules } from '../../src/package/graph-contract.ts';
import type { Manifest } from '../../src/package/manifest.ts';
import type { ModelPackage } from '../../src/package/package.ts';
import {
  drawContext,
  encoderOutputs,
  type Gaussian,
  gaussianOf,
  noKnowledge,
  withTransitions,
} from '../../src/posterior/latent-knowledge.ts';
import type { Transition } from '../replay/replay-buffer.ts';
import { openPackageNetwork, type PackageNetwork, weightsFrom } from './package-network.ts';
import { type BatchPolicy, environmentRemedy } from './policy.ts';

/** `act` takes one row. */
export type AdaptingPolicy = BatchPolicy & {
  /**
   * Call before each episode.
   * @param seed of z, or of the noise of its actions
   * @param noiseSeed of a step's noise, where each step has a seed of its own, as in requests to a server
   */
  begin(seed: number, noiseSeed?: (step: number) => number): void;
  /** From now on it acts as adapted to these episodes, and to no others unless they are further ones. */
  adapt(experience: Experience): void;
};

export type Experience = {
  /** The environment's task, [C]; C may be 0. */
  readonly context: Float64Array;
  /** Transitions in their order; at least one in all. */
  readonly episodes: readonly (readonly Transition[])[];
  /** Beside those before, of the same task. Only an encoder takes further ones: steps on weights are from all episodes at once. */
  readonly areFurther?: boolean;
};

/** @throws HyperpolicyError failed_precondition: a package that does not adapt, or of other specs than the environment's */
export function createAdaptingPolicy(
  content: ModelPackage,
  { specs, threadCount }: { readonly specs: PolicySpecs; readonly threadCount: number },
): AdaptingPolicy {
  const { manifest, files, directory } = content;
  const { context, encoder, adapt, environment } = manifest;
  const graph = encoder ?? adapt;
  if (graph === null) {
    throw failedPrecondition({
      where: directory,
      expected: 'a package with an encoder or an inner step',
      actual: 'one with neither',
    });
  }
  const network = openPackageNetwork(content, {
    wanted: { ...specs, context: context?.source === 'oracle' ? specs.context : context },
    threadCount,
    remedy: environmentRemedy(environment),
  });
  const session = openSession(files.get(graph.file)!, { threadCount, foreign: true }, graph.file);
  const parts: Parts = { manifest, network, session };
  return {
    ...(encoder === null ? withSteps(parts, adapt!) : withEncoder(parts, encoder)),
    dispose() {
      session.dispose();
      network.dispose();
    },
  };
}

type Parts = {
  readonly manifest: Manifest;
  readonly network: PackageNetwork;
  /** Of what adapts. */
  readonly session: ReturnType<typeof openSession>;
};

function withSteps(
  { manifest, network, session }: Parts,
  { from, ...advantages }: NonNullable<Manifest['adapt']>,
): Omit<AdaptingPolicy, 'dispose'> {
  const { observation, action, coefficient, contexts: contextRules } = rowRules(manifest);
  const noise = new Float32Array(specSizes(manifest).actionSize);
  let weights: SmallWeights | undefined;
  let step = 0;
  let draw = (_step: number) => {};
  return {
    begin(seed, noiseSeed) {
      step = 0;
      draw =
        noiseSeed === undefined
          ? (row) => normalRow(seed, row, noise.length, noise)
          : (row) => normalRow(noiseSeed(row), 0, noise.length, noise);
    },
    act(observations, contexts, actions) {
      draw(step++);
      actions.set(network.act({ observations, contexts, noise, weights }));
    },
    adapt({ context, episodes, areFurther }) {
      if (areFurther === true) throw new Error('steps on weights: expected all episodes at once, got further ones');
      const lengths = episodes.map(({ length }) => length).filter((length) => length > 0);
      const rows = rowsOf(episodes.flat());
      const coefficients = runToEnd(policyGradientCoefficients({ ...rows, lengths }, advantages));
      const start =
        from === 'parameters'
          ? feedsOf(contextRules, 1, { context: Float32Array.from(context) })
          : network.weightsOf(context).feeds();
      const feeds = feedsOf([observation, action, coefficient], coefficients.length, {
        ...rows,
        coefficient: coefficients,
      });
      const moved = session.run({ ...start, ...feeds });
      const named = network.weightNames.map((name) => [name, moved[`adapted_${name}`]!] as const);
      weights = weightsFrom(Object.fromEntries(named), network.weightNames);
    },
  };
}

function withEncoder(
  { manifest, network, session }: Parts,
  { aggregation = 'product', prior }: NonNullable<Manifest['encoder']>,
): Omit<AdaptingPolicy, 'dispose'> {
  const { contextSize: size } = specSizes(manifest);
  const { observation, action, reward, nextObservation } = rowRules(manifest);
  const memorySize = Number(session.inputs.find(({ name }) => name === 'memory')?.shape[1] ?? 0);
  const rules = [observation, action, reward, nextObservation, { name: 'memory', sizes: [memorySize] }];
  const inputs = rules.filter((rule) => session.inputs.some(({ name }) => name === rule.name));
  const nothing = noKnowledge(2 * size + memorySize);
  let knowledge = nothing;
  let known: Gaussian = gaussianOf(aggregation, nothing, { size, prior });
  let latent = new Float64Array(size);
  return {
    begin(seed) {
      latent = Float64Array.from(drawContext(known, seed));
    },
    act(observations, _, actions) {
      actions.set(network.act({ observations, contexts: latent }));
    },
    adapt({ episodes, areFurther }) {
      const transitions = episodes.flat();
      if (areFurther !== true) knowledge = nothing;
      // The memory goes from one transition to the next.
      const count = aggregation === 'recurrent' ? 1 : transitions.length;
      for (let n = 0; n < transitions.length; n += count) {
        const memory = Float32Array.from(knowledge.values.subarray(2 * size));
        const rows = { ...rowsOf(transitions.slice(n, n + count)), memory };
        const outputs = session.run(feedsOf(inputs, count, rows));
        const values = encoderOutputs[aggregation].map((name) => outputs[name]!.data as Float32Array);
        knowledge = withTransitions(aggregation, knowledge, values, count);
      }
      known = gaussianOf(aggregation, knowledge, { size, prior });
    },
  };
}

/** Transitions by the names of the graphs' inputs. */
function rowsOf(transitions: readonly Transition[]) {
  const values = (name: 'observation' | 'action' | 'nextObservation') =>
    Float32Array.from(transitions.flatMap((transition) => Array.from(transition[name])));
  return {
    observation: values('observation'),
    action: values('action'),
    reward: Float32Array.from(transitions, ({ reward }) => reward),
    next_observation: values('nextObservation'),
  };
}
