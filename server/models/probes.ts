/** First runs of a version's networks: over zeros, and its probes, whose outputs the trainer computed and which must be equal. */

import { failedPrecondition } from '../../src/contract/errors.ts';
import type { Probe, ProbeTensor } from '../../src/package/manifest.ts';
import type { WeightBatch } from '../weights/generated-weights.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { runAdaptationProbe, type ServedAdaptation } from './served-adaptation.ts';
import type { ServedCritic } from './served-critic.ts';
import type { ServedPolicy } from './served-policy.ts';

/** The networks of a version, and the sizes of their rows. */
export type ProbedNetworks = {
  readonly model: string;
  readonly version: number;
  readonly observationSize: number;
  readonly actionSize: number;
  /** 0 where the model takes no context. */
  readonly contextSize: number;
  readonly policy: ServedPolicy | null;
  readonly critic: ServedCritic | null;
  readonly adaptation: ServedAdaptation | null;
};

type Outputs = Readonly<Record<string, Float32Array>>;

/** Rows of first runs: one, and a batch. */
const warmRowCounts = [1, 64];

/**
 * Runs zeros through the networks that run on the event loop, so that no request is the first. The pool's graphs are warm when they are open.
 * @throws Error where a network does not run
 */
export async function warmUpNetworks(networks: ProbedNetworks): Promise<void> {
  const { policy, critic } = networks;
  for (const rowCount of warmRowCounts) {
    for (const network of [policy, critic?.weights && critic]) {
      const weights = network?.weights && zeroWeights(network.weights);
      await network?.run({ rowCount, rows: {}, weights, deadlineMs: Number.POSITIVE_INFINITY });
    }
  }
}

const zeroWeights = ({ layout: { size } }: WeightSource): WeightBatch => ({
  entries: [{ block: new Float32Array(size), bytes: size * 4 }],
});

/**
 * Runs a probe's inputs through the loaded networks; a probe of a graph that is not served passes.
 * @throws HyperpolicyError failed_precondition: outputs that differ by more than the probe's tolerance
 */
export async function replayProbe(served: ProbedNetworks, probe: Probe): Promise<void> {
  const where = `${served.model} version ${served.version}, ${probe.target} probe`;
  const outputs = await probedOutputs(served, probe);
  if (outputs === undefined) return;
  for (const [name, expected] of Object.entries(probe.outputs)) {
    compareOutput(`${where} output "${name}"`, expected, outputs[name], probe.tolerance);
  }
}

async function probedOutputs(
  { policy, critic, adaptation }: ProbedNetworks,
  probe: Probe,
): Promise<Outputs | undefined> {
  const { target, inputs } = probe;
  if (target === 'encoder' || target === 'adapt') {
    return adaptation === null ? undefined : runAdaptationProbe(adaptation, probe);
  }
  const network = target === 'policy' ? policy : critic;
  if (network === null) return undefined;
  const rowCount = Object.values(inputs)[0]?.shape[0] ?? 0;
  const rows: Outputs = Object.fromEntries(
    Object.entries(inputs).map(([name, { values }]) => [name, Float32Array.from(values)]),
  );
  const { weights: source } = network;
  const weights =
    source && (await source.generate({ values: rows[source.inputName] ?? new Float32Array(0), rowCount }));
  return network.run({ rowCount, rows, weights, deadlineMs: Number.POSITIVE_INFINITY });
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
