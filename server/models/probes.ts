/** First runs of a version's networks: over zeros, and its probes, whose outputs the trainer computed and which must be equal. */

import { failedPrecondition } from '../../src/contract/errors.ts';
import type { Probe, ProbeTensor } from '../../src/package/manifest.ts';
import type { WeightBatch } from '../weights/generated-weights.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { runAdaptationProbe, type ServedAdaptation } from './served-adaptation.ts';
import type { ServedCritic } from './served-critic.ts';
import type { ServedPolicy } from './served-policy.ts';

/** What a version's probes run through. */
export type ProbedNetworks = {
  readonly model: string;
  readonly version: number;
  readonly observationSize: number;
  readonly actionSize: number;
  readonly contextSize: number;
  readonly policy: ServedPolicy | null;
  readonly critic: ServedCritic | null;
  readonly adaptation: ServedAdaptation | null;
};

type Outputs = Readonly<Record<string, Float32Array | undefined>>;

/** Of a run through a network: its rows by the names of its graph, and what gives the weights where they are generated. */
type Run = {
  readonly rowCount: number;
  readonly input: (name: string) => Float32Array | undefined;
  readonly generate: (source: WeightSource, input: string) => WeightBatch | Promise<WeightBatch>;
};

const never = Number.POSITIVE_INFINITY;

async function runPolicy(policy: ServedPolicy, { rowCount, input, generate }: Run): Promise<Outputs> {
  const { action, logProb } = await policy.run({
    rowCount,
    observation: input('observation')!,
    noise: input('noise'),
    context: input('context'),
    weights: policy.weights && (await generate(policy.weights, 'context')),
  });
  return { action, log_prob: logProb };
}

async function runCritic(critic: ServedCritic, { rowCount, input, generate }: Run): Promise<Outputs> {
  const { q, dqDa } = await critic.run({
    rowCount,
    observation: input('observation'),
    action: input('action')!,
    context: input('context'),
    weights: critic.weights && (await generate(critic.weights, 'observation')),
    deadlineMs: never,
  });
  return { q, dq_da: dqDa };
}

/** Rows of first runs: one, and a batch. */
const warmRowCounts = [1, 64];

/**
 * Runs zeros through the networks that run on the event loop, so that no request is the first. The pool's graphs are warm when they are open.
 * @throws Error where a network does not run
 */
export async function warmUpNetworks(networks: ProbedNetworks): Promise<void> {
  const { policy, critic, observationSize, actionSize, contextSize } = networks;
  const sizes = { observation: observationSize, action: actionSize, noise: actionSize, context: contextSize };
  const generate = ({ layout: { size } }: WeightSource): WeightBatch => ({
    entries: [{ block: new Float32Array(size), bytes: size * 4, feeds: undefined }],
  });
  for (const rowCount of warmRowCounts) {
    const input = (name: string) => new Float32Array(rowCount * sizes[name as keyof typeof sizes]);
    const run = { rowCount, input, generate };
    if (policy !== null) await runPolicy(policy, run);
    if (critic?.weights !== undefined) await runCritic(critic, run);
  }
}

/**
 * Runs a probe's inputs through the loaded networks; a probe of a graph that is not served passes.
 * @throws HyperpolicyError failed_precondition: outputs that differ by more than the probe's tolerance
 */
export async function replayProbe(served: ProbedNetworks, probe: Probe): Promise<void> {
  const where = `${served.model} version ${served.version}, ${probe.target} probe`;
  const outputs = await probedOutputs(served, probe);
  for (const [name, values] of Object.entries(outputs)) {
    const expected = probe.outputs[name];
    if (expected !== undefined) compareOutput(`${where} output "${name}"`, expected, values, probe.tolerance);
  }
}

async function probedOutputs({ policy, critic, adaptation }: ProbedNetworks, probe: Probe): Promise<Outputs> {
  const { target, inputs } = probe;
  const rowCount = Object.values(inputs)[0]?.shape[0] ?? 0;
  const input = (name: string) => inputs[name] && Float32Array.from(inputs[name].values);
  const generate = (source: WeightSource, name: string) =>
    source.generate({ values: input(name) ?? new Float32Array(0), rowCount });
  if (target === 'policy') return policy === null ? {} : runPolicy(policy, { rowCount, input, generate });
  if (target === 'critic') return critic === null ? {} : runCritic(critic, { rowCount, input, generate });
  return adaptation === null ? {} : runAdaptationProbe(adaptation, probe);
}

function compareOutput(
  where: string,
  expected: ProbeTensor,
  actual: Float32Array | undefined,
  tolerance: number,
): void {
  const refuse = (wanted: string, got: string) =>
    failedPrecondition({ where, expected: wanted, actual: got, remedy: 'The version is not served' });
  if (actual?.length !== expected.values.length) {
    throw refuse(`${expected.values.length} values`, `${actual?.length ?? 'none'}`);
  }
  expected.values.forEach((value, i) => {
    const difference = Math.abs(actual[i]! - value) / (1 + Math.abs(value));
    // Written so that NaN is refused too.
    if (!(difference <= tolerance)) throw refuse(`${value} at ${i} within ${tolerance}`, `${actual[i]}`);
  });
}
