/** The cases of test/golden/maml/maml.json: parameters and data by formula, and where the file's tensors lie in ours. Any sizes. */

import { readFileSync } from 'node:fs';
import { sizeOf } from '../../../../src/contract/counts.ts';
import { plainSpec } from '../../../../src/contract/tensor-spec.ts';
import { placement, toOurs } from '../../../../src/nn/reference/arrange.ts';
import { referenceNetwork } from '../../../../src/nn/reference/network.ts';
import { type MamlConfig, mamlDefaults } from '../../../../trainer/algorithms/maml/config.ts';
import { createMamlNetworks, type MamlNetworks } from '../../../../trainer/algorithms/maml/networks.ts';
import { toTheirs } from '../../../nn/reference.ts';

type Phase = { readonly start: number; readonly task: number; readonly post: number };
export type SetName = 'pre' | 'post';
/** L2 norm of a tensor and its first values. */
export type Figures = readonly number[];
export type Try = { readonly loss: readonly number[]; readonly kl: readonly number[] };
export type TrpoFigures = {
  readonly residual_squared: readonly number[];
  readonly solution_norm: number;
  readonly g_dot_s: number;
  readonly sHs: number;
  readonly scale: number;
  readonly accepted: number | null;
  readonly tries: Try;
  readonly solution?: readonly Figures[];
  readonly after?: readonly Figures[];
};
export type BaselineFigures = Readonly<
  Record<'returns' | 'predictions' | 'advantages' | 'advantages_lambda_0_9' | 'normalised', readonly number[]>
> & { readonly mean: number; readonly deviation: number };
export type GoldenCase = {
  readonly inner_steps: number;
  readonly inner_rate: number | readonly number[] | 'formula' | null;
  readonly params:
    | string
    | readonly { readonly name: string; readonly shape: readonly number[]; readonly bound: number }[];
  readonly inner?: readonly {
    readonly loss: number;
    readonly gradient?: readonly Figures[];
    readonly adapted: readonly Figures[];
  }[];
  readonly log_prob_after: readonly (readonly number[])[];
  readonly outer: {
    readonly gradient: readonly Figures[];
    readonly gradient_norm: number;
    readonly gradient_first_order?: readonly Figures[];
    readonly rate_gradient?: readonly (number | Figures)[];
  };
  readonly displaced: { readonly loss: number; readonly kl: number };
  readonly hessian?: { readonly vHv: number; readonly Hv: readonly Figures[]; readonly Hv_first_order_norm?: number };
  readonly trpo?: TrpoFigures;
  readonly trpo_5_iterations?: TrpoFigures;
  readonly line_search_given_step?: {
    readonly multiple: number;
    readonly accepted: number | null;
    readonly tries: Try;
  };
};
type Golden = {
  readonly setup: {
    readonly observation_size: number;
    readonly action_size: number;
    readonly episodes: number;
    readonly steps: number;
    readonly contexts: readonly (readonly number[])[];
    readonly lengths: Readonly<Record<SetName, readonly (readonly number[])[]>>;
    readonly phases: Readonly<Record<'observation' | 'action' | 'reward', Phase>> &
      Readonly<Record<'parameter' | 'vector' | 'rate', number>>;
    readonly action_scale: number;
    readonly displacement: number;
  };
  readonly constants: Readonly<
    Record<
      | 'gamma'
      | 'lambda'
      | 'max_kl'
      | 'damping'
      | 'few_iterations'
      | 'cg_iterations'
      | 'cg_stop'
      | 'tries'
      | 'backtrack',
      number
    >
  >;
  readonly inputs: Readonly<Record<SetName, readonly Readonly<Record<string, number | readonly number[]>>[]>>;
  readonly baseline: Readonly<Record<SetName, readonly BaselineFigures[]>>;
  readonly cases: Readonly<Record<string, GoldenCase>>;
};

/** Computed in float64 by a program apart from this code; conventions in README.md beside it. */
export const golden = JSON.parse(
  readFileSync(new URL('../../../golden/maml/maml.json', import.meta.url), 'utf8'),
) as Golden;

const { setup } = golden;

/** (i^2 mod m), exact in integers. */
const square = (i: number, m: number): number => ((i % m) * (i % m)) % m;

/** The valid steps of a task's set, episode after episode. */
export function episodesOf(set: SetName, task: number) {
  const lengths = setup.lengths[set][task]!;
  const values = (kind: 'observation' | 'action' | 'reward', size: number, scale: number) => {
    const { start, task: perTask, post } = setup.phases[kind];
    const phase = start + perTask * task + post * (set === 'post' ? 1 : 0);
    const kept = lengths.flatMap((length, episode) =>
      Array.from({ length: length * size }, (_, n) => {
        const i = episode * setup.steps * size + n;
        return scale * Math.sin(0.91 * i + phase + 0.013 * square(i, 997));
      }),
    );
    return Float32Array.from(kept);
  };
  return {
    observation: values('observation', setup.observation_size, 1),
    action: values('action', setup.action_size, setup.action_scale),
    reward: values('reward', 1, 1),
    lengths,
  };
}

export const paramsOf = (name: string): Exclude<GoldenCase['params'], string> => {
  const { params } = golden.cases[name]!;
  return typeof params === 'string' ? paramsOf(params) : params;
};

const policyOf = (name: string): MamlConfig['policy'] =>
  /^(maml|context_maml|hyper_maml|multi_task_hyper)/.exec(name)![0].replaceAll('_', '-') as MamlConfig['policy'];

/** A case's networks and settings, and its tensors' places. */
export function caseNetworks(name: string): {
  readonly networks: MamlNetworks;
  readonly config: MamlConfig;
  readonly ours: (k: number) => string;
  readonly toOurs: (k: number, values: Float32Array) => Float32Array;
  readonly toTheirs: (k: number, values: Float32Array) => Float32Array;
} {
  const params = paramsOf(name);
  const policy = policyOf(name);
  const isHyper = policy.includes('hyper');
  const contextSize = policy === 'maml' ? 0 : setup.contexts[0]!.length;
  const sizes = { observationSize: setup.observation_size, actionSize: setup.action_size, contextSize };
  const shapes = new Map(params.map(({ name: theirs, shape }) => [theirs, shape]));
  const reference = isHyper ? referenceNetwork('hyper-maml', sizes, shapes) : undefined;
  const widths = (suffix: RegExp) => params.flatMap((p) => (suffix.test(p.name) ? [p.shape[0]!] : []));
  const description = reference?.network.description;
  const { inner_steps, inner_rate } = golden.cases[name]!;
  const learnt = name.endsWith('per_tensor') ? 'per-tensor' : name.endsWith('per_element') ? 'per-value' : 'no';
  const defaults = mamlDefaults(policy);
  const config: MamlConfig = {
    ...defaults,
    hiddenSizes: widths(/^layer\d+\.bias$/),
    hyper: description?.kind === 'policy' ? description.config : {},
    contextUnits: 'raw',
    inner: { stepCount: inner_steps, order: 'second' },
    rate: { start: typeof inner_rate === 'number' ? inner_rate : 0.1, learnt },
    advantages: { discount: golden.constants.gamma, lambda: golden.constants.lambda, weighting: 'steps' },
    trpo: {
      klMax: golden.constants.max_kl,
      damping: golden.constants.damping,
      iterationCount: golden.constants.cg_iterations,
      residualSquaredMin: golden.constants.cg_stop,
      tryCount: golden.constants.tries,
      backtrackRatio: golden.constants.backtrack,
    },
  };
  const specs = {
    observation: plainSpec('observation', sizes.observationSize),
    action: plainSpec('action', sizes.actionSize),
    context: contextSize > 0 ? { ...plainSpec('context', contextSize), source: 'oracle' as const } : null,
  };
  const networks = createMamlNetworks(config, specs, null);
  const stems = [...new Set(params.slice(1).map((p) => p.name.replace(/\.\w+$/, '')))];
  const place = (k: number) => reference?.tensors.get(params[k]!.name)?.place ?? placement(params[k]!.shape, undefined);
  const mlpName = (theirs: string) =>
    theirs === 'sigma'
      ? 'logStd'
      : `mlp.layer${stems.indexOf(theirs.replace(/\.\w+$/, ''))}.${theirs.split('.').at(-1)}`;
  return {
    networks,
    config,
    ours: (k) => reference?.tensors.get(params[k]!.name)?.ours ?? mlpName(params[k]!.name),
    toOurs: (k, values) => toOurs(values, place(k)),
    toTheirs: (k, values) => toTheirs(values, place(k)),
  };
}

const byFormula = (shape: readonly number[], value: (i: number) => number): Float32Array =>
  Float32Array.from({ length: sizeOf(shape) }, (_, i) => value(i));

/** Tensor k in the file's layout. */
export const parameter = (name: string, k: number): Float32Array => {
  const { shape, bound } = paramsOf(name)[k]!;
  const phase = 1.7 * (k + 1) + setup.phases.parameter;
  return byFormula(shape, (i) => bound * Math.sin(0.37 * (i + 1) + phase + 0.013 * square(i, 997)));
};

export const vector = (name: string, k: number): Float32Array =>
  byFormula(paramsOf(name)[k]!.shape, (i) =>
    Math.sin(0.53 * (i + 1) + 2.3 * (k + 1) + 0.017 * square(i, 991) + setup.phases.vector),
  );

/** Learnt rates of tensor k: one, or one per value. */
export function rates(name: string, k: number): Float32Array {
  const phase = 0.8 * (k + 1) + setup.phases.rate;
  if (name.endsWith('per_tensor')) return Float32Array.of(0.1 * (1 + 0.5 * Math.sin(phase)));
  return byFormula(paramsOf(name)[k]!.shape, (i) => 0.1 * (1 + 0.5 * Math.sin(0.71 * (i + 1) + phase)));
}
