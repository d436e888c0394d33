/** The probes of a package: outputs that the trainer computed, which the loaded networks must give before they serve. */

import { failedPrecondition } from '../../src/contract/errors.ts';
import type { Probe, ProbeTensor } from '../../src/package/manifest.ts';
import { distinctRows } from '../call/tensors.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { runAdaptationProbe, type ServedAdaptation } from './served-adaptation.ts';
import type { ServedCritic } from './served-critic.ts';
import type { ServedPolicy } from './served-policy.ts';

/** What a version's probes run through. */
export type ProbedNetworks = {
  readonly model: string;
  readonly version: number;
  readonly observationSize: number;
  readonly contextSize: number;
  readonly policy: ServedPolicy | null;
  readonly critic: ServedCritic | null;
  readonly adaptation: ServedAdaptation | null;
};

/**
 * Runs a probe's inputs through the loaded networks; a probe of a graph that is not served passes.
 * @throws HyperpolicyError failed_precondition: outputs that differ by more than the probe's tolerance
 */
export async function replayProbe(served: ProbedNetworks, probe: Probe): Promise<void> {
  const input = (name: string): Float32Array | undefined => {
    const tensor = probe.inputs[name];
    return tensor && Float32Array.from(tensor.values);
  };
  const where = `${served.model} version ${served.version}, ${probe.target} probe`;
  const rowCount = Object.values(probe.inputs)[0]?.shape[0] ?? 0;
  const observation = input('observation') ?? new Float32Array(0);
  const generated = async (source: WeightSource, values: Float32Array = new Float32Array(0), size: number) => {
    const contexts = distinctRows({ values, rowCount }, size);
    return { weights: await source.generate(contexts), index: contexts.index };
  };
  const compare = (name: string, actual: Float32Array | undefined) => {
    const expected = probe.outputs[name];
    if (expected !== undefined) compareOutput(`${where} output "${name}"`, expected, actual, probe.tolerance);
  };

  if ((probe.target === 'encoder' || probe.target === 'adapt') && served.adaptation !== null) {
    const outputs = await runAdaptationProbe(served.adaptation, probe);
    for (const [name, values] of Object.entries(outputs)) compare(name, values);
    return;
  }
  if (probe.target === 'policy' && served.policy !== null) {
    const context = input('context');
    const { weights } = served.policy;
    const { action, logProb } = await served.policy.run({
      rowCount,
      observation,
      noise: input('noise'),
      ...(weights === undefined ? { context } : await generated(weights, context, served.contextSize)),
    });
    compare('action', action);
    compare('log_prob', logProb);
  }
  if (probe.target === 'critic' && served.critic !== null) {
    const { weights } = served.critic;
    const { q, dqDa } = await served.critic.run({
      rowCount,
      action: input('action') ?? new Float32Array(0),
      context: input('context'),
      deadlineMs: Number.POSITIVE_INFINITY,
      ...(weights === undefined ? { observation } : await generated(weights, observation, served.observationSize)),
    });
    compare('q', q);
    compare('dq_da', dqDa);
  }
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
