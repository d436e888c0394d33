/** A critic that is loaded: observations and actions in, values and action-gradients of its ensemble out. */

import type { RowResults } from '../../src/onnx/rows/row-network.ts';
import type { Graph } from '../../src/package/manifest.ts';
import type { WeightBatch } from '../weights/generated-weights.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { type OpenNetworkOptions, openGeneratedNetwork } from './generated-network.ts';
import { checkGraph, feedsOf, type GraphRule, rowRules, sizesOf } from './graph-contract.ts';

export type CriticInputs = {
  readonly rowCount: number;
  readonly action: Float32Array; // [B, A]
  /** Critics with a context. */
  readonly context?: Float32Array | undefined; // [B, C]
  /** Plain critics. */
  readonly observation?: Float32Array | undefined; // [B, O]
  /** Hyper critics: the weights for each row, which are those of its observation. */
  readonly weights?: WeightBatch | undefined;
  /** On the clock of `Date.now()`; late work is dropped. */
  readonly deadlineMs: number;
};

/** Q value functions. */
export type CriticOutputs = {
  readonly q: Float32Array; // [B, Q]
  readonly dqDa: Float32Array; // [B, Q, A]
};

export type ServedCritic = {
  readonly ensembleSize: number;
  /** Values of the context that the critic takes; 0 where it takes none, even if the policy takes one. */
  readonly contextSize: number;
  /** Generates weights from observations; undefined for plain critics. */
  readonly weights: WeightSource | undefined;
  run(inputs: CriticInputs): CriticOutputs | Promise<CriticOutputs>;
  /** The same weights, for several runs: joined now, where each run would join them again. */
  joined(weights: WeightBatch): WeightBatch;
  dispose(): void;
};

/** Opens the critic of a package; null where it has none. The caller disposes it. */
export async function openCritic(options: OpenNetworkOptions): Promise<ServedCritic | null> {
  const { manifest } = options;
  const { critic } = manifest;
  if (critic === null) return null;
  const sizes = sizesOf(manifest);
  const { ensembleSize } = critic;
  const graph = critic.kind === 'plain' ? critic.graph : critic.dynamic;
  const takesContext = graph.inputs.some(({ name }) => name === 'context');
  const { observation, action, context } = rowRules(manifest);
  const contexts = takesContext ? context : [];
  const outputs = [
    { name: 'q', sizes: [ensembleSize] },
    { name: 'dq_da', sizes: [ensembleSize, sizes.actionSize] },
  ];
  const shared = { ensembleSize, contextSize: takesContext ? sizes.contextSize : 0 };
  if (critic.kind === 'plain') {
    const rule = { inputs: [observation, action, ...contexts], outputs };
    return { ...shared, ...(await openPlain(options, critic.graph, rule)) };
  }
  const from = { name: 'observation', size: sizes.observationSize };
  const rule = { inputs: [action, ...contexts], outputs, priority: 'q-grad', from } as const;
  const { weights, run, joined, dispose } = await openGeneratedNetwork(options, critic, rule);
  return {
    ...shared,
    weights,
    run({ rowCount, action: actions, context: rows, weights: generated }) {
      const results = run(rowCount, { action: actions, context: rows }, generated!);
      return results instanceof Promise ? results.then(asOutputs) : asOutputs(results);
    },
    joined,
    dispose,
  };
}

async function openPlain(
  { files, pool }: OpenNetworkOptions,
  graph: Graph,
  rule: GraphRule,
): Promise<Pick<ServedCritic, 'weights' | 'joined' | 'run' | 'dispose'>> {
  const network = await pool.open(files.get(graph.file)!, { name: graph.file, priority: 'q-grad' });
  checkGraph(graph, network, rule);
  return {
    weights: undefined,
    joined: (weights) => weights,
    async run({ rowCount, deadlineMs, observation, action, context }) {
      const feeds = feedsOf(rule.inputs, rowCount, { observation, action, context });
      const { q, dq_da } = await network.run({ feeds, rowCount, deadline: { atMs: deadlineMs } });
      return { q: q!.data as Float32Array, dqDa: dq_da!.data as Float32Array };
    },
    dispose: () => network.dispose(),
  };
}

const asOutputs = ({ q, dq_da }: RowResults): CriticOutputs => ({ q: q!, dqDa: dq_da! });

export type ReductionName = 'q1' | 'min' | 'mean';

/** Reduces an ensemble to one value per row, with its gradient. */
export function reduceEnsemble(
  { q, dqDa }: CriticOutputs,
  { reduction, rowCount, ensembleSize, actionSize }: ReductionOptions,
): { q: Float32Array; dqDa: Float32Array } {
  if (ensembleSize === 1) return { q, dqDa };
  const values = new Float32Array(rowCount);
  const gradients = new Float32Array(rowCount * actionSize);
  for (let row = 0; row < rowCount; row++) {
    const q1 = q[2 * row]!;
    const q2 = q[2 * row + 1]!;
    const from = 2 * row * actionSize;
    const to = row * actionSize;
    if (reduction === 'mean') {
      values[row] = (q1 + q2) / 2;
      for (let a = 0; a < actionSize; a++) {
        gradients[to + a] = (dqDa[from + a]! + dqDa[from + actionSize + a]!) / 2;
      }
      continue;
    }
    const second = reduction === 'min' && q2 < q1;
    values[row] = second ? q2 : q1;
    for (let a = 0; a < actionSize; a++) gradients[to + a] = dqDa[from + (second ? actionSize : 0) + a]!;
  }
  return { q: values, dqDa: gradients };
}

export type ReductionOptions = {
  readonly reduction: ReductionName;
  readonly rowCount: number;
  readonly ensembleSize: number;
  readonly actionSize: number;
};
