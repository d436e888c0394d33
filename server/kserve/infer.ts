/** Runs a policy or critic on named rows: what the Open Inference Protocol asks for, by the same parts as Act and QGrad. */

import { checkResult } from '../call/finite.ts';
import { noContext, type Rows } from '../call/tensors.ts';
import { clipActions } from '../methods/act.ts';
import { workDeadlineMs } from '../methods/due-time.ts';
import type { Task } from '../methods/task.ts';
import type { ServedNetwork } from '../models/served-network.ts';

/** Outputs by name, each [rowCount, ...]. */
export type NamedRows = { readonly rowCount: number; readonly values: Readonly<Record<string, Float32Array>> };

/**
 * Policy: `observation`, `context` where there is one, `noise` where given -> `action`, `log_prob` where defined. Critic: `observation`,
 * `action`, `context` where it takes one -> `q`, `dq_da` of the whole ensemble.
 */
export async function inferNetwork(
  { weights: source, run }: ServedNetwork,
  inputs: ReadonlyMap<string, Rows>,
  task: Task,
): Promise<NamedRows> {
  const { model, version } = task.served;
  const deadlineMs = workDeadlineMs(task.call, task.due);
  const { rowCount } = inputs.get('observation')!;
  const rows = Object.fromEntries([...inputs].map(([name, { values }]) => [name, values]));
  const weights = source && (await task.weights(source, inputs.get(source.inputName) ?? noContext, deadlineMs));
  const values = await task.network(() => run({ rowCount, rows, weights, deadlineMs }));
  const sent = { method: 'ModelInfer', values: Object.values(rows) };
  for (const [name, output] of Object.entries(values)) {
    if (name === 'action') clipActions(output, task.served, sent);
    else checkResult(`model "${model}" version ${version}: ${name}`, output, sent);
  }
  return { rowCount, values };
}
