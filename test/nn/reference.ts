/** The reference networks' parameters and inputs by formula, and cases of figures that they computed. */

import { readdirSync, readFileSync } from 'node:fs';
import type { Placement } from '../../src/nn/reference/arrange.ts';

export type ReferenceParameter = { readonly name: string; readonly shape: readonly number[]; readonly bound: number };

/** A file of test/golden/networks. `grads` has an entry per parameter: L2 norm and first four values of the loss gradient. */
export type ReferenceCase = {
  readonly case: string;
  readonly state_dim: number;
  readonly action_dim: number;
  readonly context_dim?: number;
  readonly params: readonly ReferenceParameter[];
  readonly grads: readonly { readonly l2: number; readonly first: readonly number[] }[];
};

/** loss: mean (q - y)^2. */
export type CriticCase = ReferenceCase & {
  readonly batch: number;
  readonly q: readonly number[];
  readonly dq_da: readonly number[];
  readonly mse_loss: number;
};

/** loss: mean log_prob, of actions by formula. */
export type PolicyCase = ReferenceCase & {
  readonly states: number;
  readonly mu: readonly number[];
  /** One for all states (MAML), or per state (PEARL). */
  readonly std?: readonly number[];
  readonly log_std?: readonly number[];
  readonly log_prob: readonly number[];
};

/** Our name of a case's architecture, as the importer takes it. */
export const architectures: Readonly<Record<string, string>> = {
  sa_hyper_critic: 'sa-hyper',
  as_hyper_critic: 'as-hyper',
  emb_hyper_critic: 'emb-hyper',
  pearl_hyper_critic: 'pearl-hyper-critic',
  mlp_standard_critic: 'mlp-standard',
  q_d2rl_critic: 'q-d2rl',
  resnet35_critic: 'resnet35',
  resnet_features_critic: 'resnet-features',
  maml_hyper_policy: 'hyper-maml',
  pearl_hyper_policy: 'pearl-hyper-policy',
};

const folder = new URL('../golden/networks/', import.meta.url);

/** Every case, by file name. */
export const referenceCases: readonly (readonly [string, ReferenceCase])[] = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => [file.replace('.json', ''), JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as ReferenceCase]);

export const isCriticCase = (golden: ReferenceCase): golden is CriticCase => golden.case.endsWith('_critic');

/** scale sin(0.91 i + phase). */
export const sine = (size: number, phase: number, scale = 1): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => scale * Math.sin(0.91 * i + phase));

/** Tensor k: bound * sin(0.37 (i + 1) + 1.7 (k + 1) + 0.013 (i^2 mod 997)), computed in float64. */
export function formula({ shape, bound }: ReferenceParameter, k: number): Float32Array {
  const values = new Float32Array(shape.reduce((product, n) => product * n, 1));
  for (let i = 0; i < values.length; i++) {
    // i^2 mod 997 through i mod 997 stays exact.
    values[i] = bound * Math.sin(0.37 * (i + 1) + 1.7 * (k + 1) + 0.013 * ((i % 997) ** 2 % 997));
  }
  return values;
}

/** The state dict of a case, by the reference's names. */
export const stateDict = ({ params }: ReferenceCase): Map<string, Float32Array> =>
  new Map(params.map((parameter, k) => [parameter.name, formula(parameter, k)]));

export const shapesIn = ({ params }: ReferenceCase): Map<string, readonly number[]> =>
  new Map(params.map(({ name, shape }) => [name, shape]));

export const sizesIn = ({ state_dim, action_dim, context_dim = 0 }: ReferenceCase) => ({
  observationSize: state_dim,
  actionSize: action_dim,
  contextSize: context_dim,
});

/** The inputs of a case, [rows, size] each; a MAML policy has one context for all rows. */
export function caseInputs(golden: ReferenceCase): Record<string, { data: Float32Array; shape: number[] }> {
  const { state_dim, action_dim, context_dim = 0 } = golden;
  const input = (rows: number, size: number, phase: number, scale?: number) => ({
    data: sine(rows * size, phase, scale),
    shape: [rows, size],
  });
  if (isCriticCase(golden)) {
    return {
      observation: input(golden.batch, state_dim, 0.1),
      action: input(golden.batch, action_dim, 0.7, 0.9),
      ...(context_dim > 0 && { context: input(golden.batch, context_dim, 0.4) }),
      target: { data: sine(golden.batch, 0.3), shape: [golden.batch] },
    };
  }
  const { states } = golden as PolicyCase;
  const isMaml = golden.case === 'maml_hyper_policy';
  const action = input(states, action_dim, 0.9, isMaml ? 1 : 0.5);
  return {
    observation: input(states, state_dim, 0.2),
    context: input(isMaml ? 1 : states, context_dim, 0.4),
    action: isMaml ? action : { ...action, data: action.data.map(Math.tanh) },
  };
}

/** One of our tensors in the reference's layout. */
export const toTheirs = (ours: Float32Array, place: Placement): Float32Array => ours.map((_, i) => ours[place(i)]!);
