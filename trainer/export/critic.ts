/** Exports a critic as the graph contract asks: q and its gradient with respect to the action, environment units. */

import * as tf from '@tensorflow/tfjs-core';
import { toNormalised } from '../../src/nn/action-scaling.ts';
import {
  actionGradient,
  type Critic,
  type CriticSplit,
  memberParameters,
  memberQ,
} from '../../src/nn/critics/critic.ts';
import type { GeneratedLayer } from '../../src/nn/hyper/head.ts';
import { normalise } from '../../src/nn/normalisation.ts';
import type { Parameters } from '../../src/nn/parameters.ts';
import type { Units } from '../../src/nn/units.ts';
import { type InputSpec, trace } from '../../src/trace/trace.ts';
import {
  asConstants,
  evaluateParameters,
  graphFile,
  layersFrom,
  type NetworkFiles,
  type NetworkParameters,
  namedLayers,
  splitFiles,
} from './graphs.ts';

export type CriticExport = Units & { readonly critic: Critic; readonly parameters: NetworkParameters };

/**
 * Split into primary and dynamic if a primary generates the dynamic network from the observation alone; else plain. A
 * critic whose generated weights are the same for every input is plain, with those weights in place of its primary.
 */
export function exportCritic(options: CriticExport): NetworkFiles {
  const { split } = options.critic.member;
  if (split === undefined) return exportPlain(options, wholeMembers(options));
  if (split.meta === 'constant') return exportPlain(options, foldedMembers(options, split));
  return exportSplit(options, split);
}

type Inputs = {
  readonly observation: tf.Tensor2D;
  readonly action: tf.Tensor2D;
  readonly context?: tf.Tensor2D | undefined;
};

/** q [B] of each member, of normalised inputs; made inside a trace. */
type Members = () => ((inputs: Inputs) => tf.Tensor)[];

const eachMember = <T>({ ensembleSize }: Critic, f: (i: number) => T): T[] =>
  Array.from({ length: ensembleSize }, (_, i) => f(i));

const wholeMembers =
  ({ critic, parameters }: CriticExport): Members =>
  () => {
    const constants = asConstants(parameters);
    return eachMember(
      critic,
      (i) =>
        ({ observation, action, context }) =>
          memberQ(critic, i, constants, observation, action, context),
    );
  };

/** Generates the weights once, now; the graph holds them and no primary. */
function foldedMembers({ critic, parameters }: CriticExport, split: CriticSplit): Members {
  const generated = eachMember(critic, (i) =>
    evaluateParameters('critic-fold', parameters, (tensors) =>
      namedLayers(split.generate(memberParameters(i, tensors), undefined)),
    ),
  );
  return () => {
    const constants = asConstants(parameters);
    return eachMember(
      critic,
      (i) => (inputs) => split.evaluate(memberParameters(i, constants), layersFrom(asConstants(generated[i]!)), inputs),
    );
  };
}

function contextInput({ contextSize = 0 }: Critic['sizes']): Record<string, InputSpec> {
  return contextSize > 0 ? { context: { shape: ['B', contextSize] } } : {};
}

/** `critic.onnx`: observation [B, O], action [B, A], context [B, C] if it has one -> q [B, Q], dq_da [B, Q, A]. */
function exportPlain(options: CriticExport, members: Members): NetworkFiles {
  const { sizes } = options.critic;
  const inputs: Record<string, InputSpec> = {
    observation: { shape: ['B', sizes.observationSize] },
    action: { shape: ['B', sizes.actionSize] },
    ...contextInput(sizes),
  };
  const graph = trace('critic', inputs, ({ observation, action, context }) => {
    const states = normalise(options.observation, observation as tf.Tensor2D);
    const contexts = context && normalise(options.context, context as tf.Tensor2D);
    const each = members().map((member) => {
      const q = (a: tf.Tensor) =>
        member({ observation: states, action: toNormalised(options.scaling, a) as tf.Tensor2D, context: contexts });
      return { q: q(action!), gradient: actionGradient(q, action!) };
    });
    const stack = (tensors: tf.Tensor[]) => tf.stack(tensors, 1);
    return { q: stack(each.map(({ q }) => q)), dq_da: stack(each.map(({ gradient }) => gradient)) };
  });
  return { kind: 'plain', graph: graphFile('critic.onnx', graph) };
}

/**
 * `critic.primary.onnx`: observation [K, O] -> w0 [K, Q, I, O] g0 b0 [K, Q, 1, O] w1 ...
 * `critic.dynamic.onnx`: these, index [B], action [B, A] and context [B, C] if it has one -> q [B, Q], dq_da [B, Q, A]; only
 * the dynamic part is differentiated.
 */
function exportSplit(options: CriticExport, split: CriticSplit): NetworkFiles {
  const { critic, parameters, scaling } = options;
  const { observationSize, actionSize } = critic.sizes;
  return splitFiles(
    'critic',
    {
      inputs: { observation: { shape: ['K', observationSize] } },
      fn: ({ observation }) => {
        const constants = asConstants(parameters);
        const states = normalise(options.observation, observation as tf.Tensor2D);
        return namedLayers(
          stackMembers(eachMember(critic, (i) => split.generate(memberParameters(i, constants), states))),
        );
      },
    },
    {
      inputs: { action: { shape: ['B', actionSize] }, ...contextInput(critic.sizes) },
      fn: ({ action, context }, weights) => {
        const layers = layersFrom(weights);
        const rows = action!.shape[0]!;
        const perMember = (x: tf.Tensor) =>
          tf.broadcastTo(tf.expandDims(x, 1), [rows, critic.ensembleSize, x.shape[1]!]);
        const contexts = context && perMember(normalise(options.context, context));
        const shared = stackedFactors(critic, parameters);
        const q = (a: tf.Tensor) =>
          split.evaluate(shared, layers, { action: toNormalised(scaling, a), context: contexts }); // [B, Q]
        const actions = perMember(action!);
        return { q: q(actions), dq_da: actionGradient(q, actions) };
      },
    },
  );
}

/** The members' layers side by side behind the context: [K, ...] each to [K, Q, ...]. */
const stackMembers = (members: readonly GeneratedLayer[][]): GeneratedLayer[] =>
  members[0]!.map((_, i) => {
    const stack = (part: 'weight' | 'gain' | 'bias') =>
      tf.stack(
        members.map((layers) => layers[i]![part]),
        1,
      );
    return { weight: stack('weight'), gain: stack('gain'), bias: stack('bias') };
  });

/** Inputs of a dynamic network besides generated layers: the members' low-rank factors, [Q, ...]. */
function stackedFactors(critic: Critic, { views, shapes }: NetworkParameters): Parameters {
  const members = eachMember(critic, (i) => ({
    views: memberParameters(i, views),
    shapes: memberParameters(i, shapes),
  }));
  const names = Object.keys(members[0]!.views).filter((name) => /^head\d+\.(base|left|right)$/.test(name));
  return Object.fromEntries(
    names.map((name) => [
      name,
      tf.stack(members.map((member) => tf.tensor(member.views[name]!.slice(), [...member.shapes[name]!]))),
    ]),
  );
}
