/** What every critic is: an ensemble of Q functions of observation and action, and of a context where it has one. */

import * as tf from '@tensorflow/tfjs-core';
import type { GeneratedLayer } from '../hyper/head.ts';
import type { Hypernetwork } from '../hyper/hypernetwork.ts';
import { type ParameterSpecs, type Parameters, under, withPrefix } from '../parameters.ts';
import { checkInputs, contextRows } from '../shapes.ts';

export type CriticSizes = {
  readonly observationSize: number;
  readonly actionSize: number;
  /** Values of a context, e.g. PEARL's z; 0 if absent. */
  readonly contextSize?: number | undefined;
};

/** What a dynamic network may read: one [..., size] each. */
type CriticInputs = {
  readonly observation?: tf.Tensor | undefined;
  readonly action: tf.Tensor;
  readonly context?: tf.Tensor | undefined;
};

/** One Q function. B rows, O observation values, A action values, C context values. */
export type QFunction = {
  /** Name in the registry, e.g. `sa-hyper`. */
  readonly architecture: string;
  readonly specs: ParameterSpecs;
  /** Parameters that all members of an ensemble share; the member sees them under `shared.`. */
  readonly sharedSpecs?: ParameterSpecs | undefined;
  /** Observation [B, O], action [B, A] and, with a context, [B, C] to q [B]. */
  q(parameters: Parameters, observation: tf.Tensor2D, action: tf.Tensor2D, context?: tf.Tensor2D): tf.Tensor1D;
  /**
   * Present if several members can be evaluated at once, in as many operations as one takes: each parameter has a leading n,
   * vectors [n, 1, size], and q is [n, B].
   */
  qOfStack?(parameters: Parameters, observation: tf.Tensor2D, action: tf.Tensor2D, context?: tf.Tensor2D): tf.Tensor2D;
  /**
   * Present if a context that groups of rows share costs less than one for each row: q [N G] of N groups of G rows each. Without an
   * action the context is the whole base.
   */
  qOfGroups?(
    parameters: Parameters,
    observation: tf.Tensor2D,
    action: tf.Tensor2D | undefined,
    context: tf.Tensor2D,
  ): tf.Tensor1D;
  /** Present in hypernetworks. */
  readonly hypernetwork?: Hypernetwork | undefined;
  /** Present if the dynamic network can be evaluated without the primary. */
  readonly split?: CriticSplit | undefined;
};

export type CriticSplit = {
  /** Whether the weights are generated per observation, or are the same for every input. */
  readonly meta: 'observation' | 'constant';
  /** Observation [K, O] to layers with leading K; K = 1 and no observation where the weights are constant. */
  generate(parameters: Parameters, observation: tf.Tensor2D | undefined): GeneratedLayer[];
  /** Layers with leading dimensions (...) and inputs [..., size] to q [...]. The observation is read only if the weights are constant. */
  evaluate(parameters: Parameters, layers: readonly GeneratedLayer[], inputs: CriticInputs): tf.Tensor;
};

/** Q independent Q functions of one architecture; member i's parameters are under `q<i>.`, common ones under `shared.`. */
export type Critic = {
  readonly member: QFunction;
  readonly ensembleSize: number;
  readonly sizes: CriticSizes;
  readonly specs: ParameterSpecs;
  /** Present if the members can be evaluated at once: {@link ensembleQ} takes these parameters in place of the members'. */
  readonly stacks?: readonly ParameterStack[] | undefined;
};

/** One parameter of all members as one tensor: its name under `stack.`, theirs in order, and its shape, [Q, ...]. */
type ParameterStack = {
  readonly name: string;
  readonly members: readonly string[];
  readonly shape: readonly number[];
};

export function createEnsemble(member: QFunction, sizes: CriticSizes, ensembleSize: number): Critic {
  const specs = Array.from({ length: ensembleSize }, (_, i) => withPrefix(`q${i}`, member.specs));
  const shared = member.sharedSpecs === undefined ? {} : withPrefix('shared', member.sharedSpecs);
  const stacks = member.qOfStack === undefined ? undefined : stacksOf(member.specs, ensembleSize);
  return { member, ensembleSize, sizes, specs: Object.assign({}, ...specs, shared), stacks };
}

const stacksOf = (specs: ParameterSpecs, ensembleSize: number): ParameterStack[] =>
  Object.entries(specs).map(([name, { shape }]) => ({
    name: `stack.${name}`,
    members: Array.from({ length: ensembleSize }, (_, i) => `q${i}.${name}`),
    // A vector is a row, which broadcasts over the rows of a batch.
    shape: [ensembleSize, ...(shape.length === 1 ? [1] : []), ...shape],
  }));

/** What member i reads of a critic's parameters: its own, and the shared ones under `shared.`. */
export const memberParameters = <T>(i: number, parameters: Readonly<Record<string, T>>): Record<string, T> => ({
  ...under(`q${i}`, parameters),
  ...Object.fromEntries(Object.entries(parameters).filter(([name]) => name.startsWith('shared.'))),
});

/**
 * The i-th member's q, [B].
 * @param context [B, C], or [1, C] for all rows
 * @throws HyperpolicyError invalid_argument naming expected and actual shapes
 */
export function memberQ(
  { member, sizes }: Critic,
  i: number,
  parameters: Parameters,
  observation: tf.Tensor2D,
  action: tf.Tensor2D,
  context?: tf.Tensor2D,
): tf.Tensor1D {
  const contexts = checkedContext(member, sizes, { observation, action, context });
  return member.q(memberParameters(i, parameters), observation, action, contexts);
}

/** @returns the context of each row, if there is one */
function checkedContext(
  { architecture }: QFunction,
  { observationSize, actionSize, contextSize = 0 }: CriticSizes,
  inputs: {
    readonly observation: tf.Tensor2D;
    readonly action: tf.Tensor2D;
    readonly context: tf.Tensor2D | undefined;
  },
): tf.Tensor2D | undefined {
  const columns = { observation: observationSize, action: actionSize, context: contextSize };
  checkInputs(`critic ${architecture}`, columns, inputs);
  return inputs.context && contextRows(inputs.context, inputs.observation);
}

/** The gradient of each row's q with respect to its action, as the action's shape. @param q a function of rows that are independent */
export const actionGradient = <T extends tf.Tensor>(q: (action: T) => tf.Tensor, action: T): T =>
  tf.grad((a: tf.Tensor) => tf.sum(q(a as T)))(action) as T;

/** Every member's q, [B, Q], from the members' parameters or from the critic's stacks. The context is [B, C], or [1, C] for all rows. */
export function ensembleQ(
  critic: Critic,
  parameters: Parameters,
  observation: tf.Tensor2D,
  action: tf.Tensor2D,
  context?: tf.Tensor2D,
): tf.Tensor2D {
  const { member, sizes, ensembleSize } = critic;
  const stacked = under('stack', parameters);
  if (member.qOfStack !== undefined && Object.keys(stacked).length > 0) {
    const contexts = checkedContext(member, sizes, { observation, action, context });
    return tf.transpose(member.qOfStack(stacked, observation, action, contexts));
  }
  const members = Array.from({ length: ensembleSize }, (_, i) =>
    memberQ(critic, i, parameters, observation, action, context),
  );
  return tf.stack(members, 1) as tf.Tensor2D;
}

/** Those of the inputs that are there, side by side: [..., sum of their sizes]. */
export function concatInputs(...inputs: (tf.Tensor | undefined)[]): tf.Tensor {
  const present = inputs.filter((input) => input !== undefined);
  return present.length === 1 ? present[0]! : tf.concat(present, -1);
}
