/**
 * Joins the small runs of one policy. A run of a small network costs about as much for sixteen rows as for one, so requests that
 * come in one turn of the event loop share a run, except for the first: nobody knows yet that others follow.
 *
 * Failure rule: a joint run that fails is repeated one by one, so that no request suffers from another's.
 */

import type { GeneratedWeights } from '../weights/generated-weights.ts';
import type { PolicyInputs, PolicyOutputs } from './policy-rows.ts';

export type PolicyBatcher = {
  /** Outputs at once where the request is the first of its turn, else soon. */
  run(inputs: PolicyInputs): PolicyOutputs | Promise<PolicyOutputs>;
};

export type PolicyBatcherOptions = {
  /** One run. */
  readonly runOnce: (inputs: PolicyInputs) => PolicyOutputs;
  readonly actionSize: number;
  /** Whether another request may come in this turn; where not, nothing is scheduled. */
  readonly expectsMore: () => boolean;
  /** `setImmediate` unless a test dispatches by hand. */
  readonly schedule?: (dispatch: () => void) => void;
};

/** Larger requests fill a run by themselves. */
const jobRowCountMax = 16;
const batchRowCountMax = 64;

type Job = {
  readonly inputs: PolicyInputs;
  resolve(outputs: PolicyOutputs): void;
  reject(error: unknown): void;
};

export function createPolicyBatcher(options: PolicyBatcherOptions): PolicyBatcher {
  const { runOnce, actionSize, expectsMore } = options;
  const schedule = options.schedule ?? ((dispatch) => void setImmediate(dispatch));
  let jobs: Job[] = [];
  let rowCount = 0;
  /** Whether a request ran already in this turn. */
  let turnBegan = false;

  function runAlone({ inputs, resolve, reject }: Job): void {
    try {
      resolve(runOnce(inputs));
    } catch (error) {
      reject(error);
    }
  }

  function dispatch(): void {
    turnBegan = false;
    runJobs();
  }

  function runJobs(): void {
    const batch = jobs;
    const batchRowCount = rowCount;
    jobs = [];
    rowCount = 0;
    if (batch.length === 0) return;
    if (batch.length === 1) {
      runAlone(batch[0]!);
      return;
    }
    let outputs: PolicyOutputs;
    try {
      outputs = runOnce(
        joinInputs(
          batch.map((job) => job.inputs),
          batchRowCount,
          actionSize,
        ),
      );
    } catch {
      for (const job of batch) runAlone(job);
      return;
    }
    let from = 0;
    for (const { inputs, resolve } of batch) {
      const to = from + inputs.rowCount;
      resolve({
        action: outputs.action.slice(from * actionSize, to * actionSize),
        logProb: outputs.logProb?.slice(from, to),
      });
      from = to;
    }
  }

  return {
    run(inputs) {
      if (inputs.rowCount > jobRowCountMax) return runOnce(inputs);
      if (!turnBegan) {
        if (expectsMore()) {
          turnBegan = true;
          schedule(dispatch);
        }
        return runOnce(inputs);
      }
      if (rowCount + inputs.rowCount > batchRowCountMax) runJobs();
      return new Promise((resolve, reject) => {
        jobs.push({ inputs, resolve, reject });
        rowCount += inputs.rowCount;
      });
    },
  };
}

/** The inputs of all requests below each other; contexts that several share are there once. */
function joinInputs(all: readonly PolicyInputs[], rowCount: number, actionSize: number): PolicyInputs {
  const first = all[0]!;
  const observation = joinArrays(all.map((inputs) => inputs.observation));
  const context = first.context && joinArrays(all.map((inputs) => inputs.context!));
  // Requests for the deterministic action have no noise: zeros, which is the same.
  const noise = all.some((inputs) => inputs.noise !== undefined)
    ? joinArrays(all.map((inputs) => inputs.noise ?? new Float32Array(inputs.rowCount * actionSize)))
    : undefined;
  return { rowCount, observation, context, noise, ...joinContexts(all, rowCount) };
}

function joinContexts(all: readonly PolicyInputs[], rowCount: number): Pick<PolicyInputs, 'weights' | 'index'> {
  if (all[0]!.weights === undefined) return {};
  const places = new Map<GeneratedWeights, number>();
  const index = new Int32Array(rowCount);
  let row = 0;
  for (const inputs of all) {
    const own = inputs.weights!.entries.map((entry) => {
      const place = places.get(entry) ?? places.size;
      places.set(entry, place);
      return place;
    });
    for (let i = 0; i < inputs.rowCount; i++) index[row++] = own[inputs.index?.[i] ?? 0]!;
  }
  return { weights: { entries: [...places.keys()] }, index: places.size === 1 ? undefined : index };
}

function joinArrays(arrays: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    joined.set(array, at);
    at += array.length;
  }
  return joined;
}
