/**
 * A critic that is loaded: `observation`, `action`, `context` where it takes one -> `q` [B, Q] and `dq_da` [B, Q, A] of its ensemble of Q
 * value functions. Where weights are generated, they come from the observation.
 */

import { rowRules } from './graph-contract.ts';
import { type OpenNetworkOptions, openNetwork, type ServedNetwork } from './served-network.ts';

export type ServedCritic = ServedNetwork & {
  readonly ensembleSize: number;
  /** Values of the context that the critic takes; 0 where it takes none, even if the policy takes one. */
  readonly contextSize: number;
};

/** Opens the critic of a package; null where it has none. The caller disposes it. */
export async function openCritic(options: OpenNetworkOptions): Promise<ServedCritic | null> {
  const { critic } = options.manifest;
  if (critic === null) return null;
  const { ensembleSize } = critic;
  const graph = critic.kind === 'plain' ? critic.graph : critic.dynamic;
  const takesContext = graph.inputs.some(({ name }) => name === 'context');
  const { observation, action, context, contexts } = rowRules(options.manifest);
  const network = await openNetwork(options, critic, {
    priority: 'q-grad',
    runsHere: false,
    from: observation,
    inputs: [observation, action, ...(takesContext ? contexts : [])],
    outputs: [
      { name: 'q', sizes: [ensembleSize] },
      { name: 'dq_da', sizes: [ensembleSize, ...action.sizes] },
    ],
  });
  return { ...network, ensembleSize, contextSize: takesContext ? context.sizes[0]! : 0 };
}

/** Values [B, Q] and action-gradients [B, Q, A] of an ensemble; without Q where it is reduced. */
export type Gradients = { readonly q: Float32Array; readonly dqDa: Float32Array };

export type ReductionName = 'q1' | 'min' | 'mean';

/** Reduces an ensemble to one value per row, with its gradient. */
export function reduceEnsemble(
  { q, dqDa }: Gradients,
  { reduction, rowCount, ensembleSize, actionSize }: ReductionOptions,
): Gradients {
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
