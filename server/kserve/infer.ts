/** Runs a policy or critic on named rows: what the Open Inference Protocol asks for, by the same parts as Act and QGrad. */

import { checkResult, type Sent } from '../call/finite.ts';
import { noContext, type Rows } from '../call/tensors.ts';
import { clipActions } from '../methods/act.ts';
import type { Task } from '../methods/task.ts';
import type { ServedVersion } from '../models/served-version.ts';

/** Outputs by name, each [rowCount, ...]. */
export type NamedRows = { readonly rowCount: number; readonly values: Readonly<Record<string, Float32Array>> };

type Inputs = ReadonlyMap<string, Rows>;

/** A request, and until when work for it is of use, on the clock of `Date.now()`. */
export type Timed = { readonly deadlineMs: number; readonly task: Task };

/** `observation`, `context` where there is one, `noise` where given -> `action`, `log_prob` where defined. */
export async function inferPolicy(inputs: Inputs, { task, deadlineMs }: Timed): Promise<NamedRows> {
  const { served } = task;
  const policy = served.policy!;
  const { values: observation, rowCount } = inputs.get('observation')!;
  const context = inputs.get('context');
  const weights = policy.weights && (await task.weights(policy.weights, context ?? noContext, deadlineMs));
  const noise = inputs.get('noise')?.values;
  const { action, logProb } = await task.network(() =>
    policy.run({ rowCount, observation, noise, context: context?.values, weights, deadlineMs }),
  );
  const sent = sentBy(inputs);
  clipActions(action, served, sent);
  if (logProb !== undefined) checkResult(`${described(served)}: log_prob`, logProb, sent);
  return { rowCount, values: { action, ...(logProb !== undefined && { log_prob: logProb }) } };
}

/** `observation`, `action`, `context` where the critic takes one -> `q`, `dq_da` of the whole ensemble. */
export async function inferCritic(inputs: Inputs, { task, deadlineMs }: Timed): Promise<NamedRows> {
  const { served } = task;
  const critic = served.critic!;
  const observation = inputs.get('observation')!;
  const { rowCount } = observation;
  const weights = critic.weights && (await task.weights(critic.weights, observation, deadlineMs));
  const action = inputs.get('action')!.values;
  const context = inputs.get('context')?.values;
  const { q, dqDa } = await task.network(() =>
    critic.run({ rowCount, observation: observation.values, action, context, weights, deadlineMs }),
  );
  const sent = sentBy(inputs);
  checkResult(`${described(served)}: q`, q, sent);
  checkResult(`${described(served)}: dq_da`, dqDa, sent);
  return { rowCount, values: { q, dq_da: dqDa } };
}

const described = ({ model, version }: ServedVersion): string => `model "${model}" version ${version}`;

const sentBy = (inputs: Inputs): Sent => ({
  method: 'ModelInfer',
  values: [...inputs.values()].map(({ values }) => values),
});
