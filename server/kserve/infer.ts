/** Runs a policy or critic on named rows: what the Open Inference Protocol asks for, by the same parts as Act and QGrad. */

import { checkResult, type Sent } from '../call/finite.ts';
import { distinctRows, noContext, type Rows } from '../call/tensors.ts';
import { clipActions } from '../methods/act.ts';
import type { RequestTimer } from '../methods/timing.ts';
import type { ServedVersion } from '../models/served-version.ts';
import type { WeightSource } from '../weights/weight-source.ts';

/** Outputs by name, each [rowCount, ...]. */
export type NamedRows = { readonly rowCount: number; readonly values: Readonly<Record<string, Float32Array>> };

type Inputs = ReadonlyMap<string, Rows>;

/** Until when a request is worth working for, on the clock of `Date.now()`, and where its time goes. */
export type Timed = { readonly deadlineMs: number; readonly timer: RequestTimer };

/** `observation`, `context` where there is one, `noise` where given -> `action`, `log_prob` where defined. */
export async function inferPolicy(served: ServedVersion, inputs: Inputs, timed: Timed): Promise<NamedRows> {
  const policy = served.policy!;
  const { values: observation, rowCount } = inputs.get('observation')!;
  const context = inputs.get('context');
  const contextInputs =
    policy.weights === undefined
      ? { context: context?.values }
      : await generated(policy.weights, context ?? noContext, served.contextSize, timed);
  const noise = inputs.get('noise')?.values;
  const { action, logProb } = await timed.timer.network(() =>
    policy.run({ rowCount, observation, noise, ...contextInputs, deadlineMs: timed.deadlineMs }),
  );
  const sent = sentBy(inputs);
  clipActions(action, served, sent);
  if (logProb !== undefined) checkResult(`${described(served)}: log_prob`, logProb, sent);
  return { rowCount, values: { action, ...(logProb !== undefined && { log_prob: logProb }) } };
}

/** `observation`, `action`, `context` where the critic takes one -> `q`, `dq_da` of the whole ensemble. */
export async function inferCritic(served: ServedVersion, inputs: Inputs, timed: Timed): Promise<NamedRows> {
  const critic = served.critic!;
  const observation = inputs.get('observation')!;
  const { rowCount } = observation;
  const states =
    critic.weights === undefined
      ? { observation: observation.values }
      : await generated(critic.weights, observation, served.observationSize, timed);
  const { q, dqDa } = await timed.timer.network(() =>
    critic.run({
      rowCount,
      action: inputs.get('action')!.values,
      context: inputs.get('context')?.values,
      deadlineMs: timed.deadlineMs,
      ...states,
    }),
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

async function generated(source: WeightSource, rows: Rows, columnCount: number, { deadlineMs, timer }: Timed) {
  const contexts = distinctRows(rows, columnCount);
  const startMs = performance.now();
  const weights = source.weightsFor(contexts, deadlineMs);
  return {
    weights: weights instanceof Promise ? await timer.primary(startMs, weights) : weights,
    index: contexts.index,
  };
}
