/** A critic that is loaded: observations and actions in, values and action-gradients of its ensemble out. */

import type { RowResults } from '../../src/onnx/rows/row-network.ts';
import { floatTensor, type TensorMap } from '../../src/onnx/session.ts';
import { createSmallNetwork } from '../../src/onnx/small-network.ts';
import { namesOf } from '../compute/executors.ts';
import { joinWeights, type WeightBatch, weightLayout } from '../weights/generated-weights.ts';
import { createWeightSource, type WeightSource } from '../weights/weight-source.ts';
import { checkGraph, sizesOf, type TensorRule } from './graph-contract.ts';
import { type OpenNetworkOptions, weightRule } from './served-policy.ts';

export type CriticInputs = {
  readonly rowCount: number;
  readonly action: Float32Array; // [B, A]
  /** Critics with a context. */
  readonly context?: Float32Array | undefined; // [B, C]
  /** Plain critics. */
  readonly observation?: Float32Array | undefined; // [B, O]
  /** Hyper critics: weights of K observations, and row -> observation (undefined: all rows have the first). */
  readonly weights?: WeightBatch | undefined;
  readonly index?: Int32Array | undefined; // [B]
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
  const { manifest, files, pool, openInline, cache, keyPrefix } = options;
  const { critic } = manifest;
  if (critic === null) return null;
  const { observationSize, actionSize, contextSize: modelContextSize } = sizesOf(manifest);
  const { ensembleSize } = critic;
  const graph = critic.kind === 'plain' ? critic.graph : critic.dynamic;
  const contextSize = graph.inputs.some(({ name }) => name === 'context') ? modelContextSize : 0;
  const contexts: TensorRule[] = contextSize > 0 ? [{ name: 'context', sizes: [contextSize] }] : [];
  const contextFeed = ({ context, rowCount }: CriticInputs): TensorMap =>
    contextSize > 0 ? { context: floatTensor(context!, [rowCount, contextSize]) } : {};
  const observation: TensorRule = { name: 'observation', sizes: [observationSize] };
  const action: TensorRule = { name: 'action', sizes: [actionSize] };
  const outputs: TensorRule[] = [
    { name: 'q', sizes: [ensembleSize] },
    { name: 'dq_da', sizes: [ensembleSize, actionSize] },
  ];

  const toOutputs = (result: TensorMap): CriticOutputs => ({
    q: result.q!.data as Float32Array,
    dqDa: result.dq_da!.data as Float32Array,
  });

  if (critic.kind === 'plain') {
    const network = await pool.open(files.get(critic.graph.file)!, { name: critic.graph.file, priority: 'q-grad' });
    checkGraph(critic.graph, network, { inputs: [observation, action, ...contexts], outputs });
    return {
      ensembleSize,
      contextSize,
      weights: undefined,
      joined: (weights) => weights,
      async run(inputs) {
        const { rowCount, observation: rows, action: actions, deadlineMs } = inputs;
        const feeds = {
          ...contextFeed(inputs),
          observation: floatTensor(rows!, [rowCount, observationSize]),
          action: floatTensor(actions, [rowCount, actionSize]),
        };
        return toOutputs(await network.run({ feeds, rowCount, deadline: { atMs: deadlineMs } }));
      },
      dispose: () => network.dispose(),
    };
  }

  const primary = await pool.open(files.get(critic.primary.file)!, { name: critic.primary.file, priority: 'q-grad' });
  const inline = await openInline(critic.dynamic.file);
  const layout = weightLayout(critic.primary);
  checkGraph(critic.primary, primary, { inputs: [observation], outputs: layout.parts.map(weightRule) });
  checkGraph(critic.dynamic, namesOf(inline.session), {
    inputs: [action, ...contexts, { name: 'index', sizes: [] }, ...layout.parts.map(weightRule)],
    outputs,
  });
  const small = createSmallNetwork({ ...inline, weightNames: layout.parts.map(({ name }) => name) });
  return {
    ensembleSize,
    contextSize,
    weights: createWeightSource({
      primary,
      layout,
      inputName: 'observation',
      inputSize: observationSize,
      cache,
      keyPrefix,
    }),
    run({ rowCount, action: actions, context, weights, index }) {
      const { entries } = weights!;
      const generated = { entries, index, feeds: () => joinWeights(layout, weights!) };
      const results = small.run({ rowCount, rows: { action: actions, context }, weights: generated });
      const named = ({ q, dq_da }: RowResults): CriticOutputs => ({ q: q!, dqDa: dq_da! });
      return results instanceof Promise ? results.then(named) : named(results);
    },
    joined: (weights) => (small.runsByRow(1) ? weights : { ...weights, feeds: joinWeights(layout, weights) }),
    dispose() {
      inline.session.dispose();
      primary.dispose();
    },
  };
}

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
