/** First runs of a version's networks: over zeros to warm up, then its probes, whose outputs must be those of the trainer. */

import { failedPrecondition } from '../../src/contract/errors.ts';
import type { Precision } from '../../src/onnx/precision.ts';
import type { Device } from '../../src/onnx/providers.ts';
import type { Probe, ProbeTensor } from '../../src/package/manifest.ts';
import { standing } from '../call/rpc.ts';
import type { WeightBatch } from '../weights/generated-weights.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { runAdaptationProbe, type ServedAdaptation } from './served-adaptation.ts';
import type { ServedCritic, ServedPolicy } from './served-network.ts';

/** The networks of a version, and the sizes of their rows. */
export type ProbedNetworks = {
  readonly model: string;
  readonly version: number;
  /** Of its heavy graphs. */
  readonly device: Device;
  readonly precision: Precision;
  readonly observationSize: number;
  readonly actionSize: number;
  /** 0 if the model takes no context. */
  readonly contextSize: number;
  readonly policy: ServedPolicy | null;
  readonly critic: ServedCritic | null;
  readonly adaptation: ServedAdaptation | null;
};

type Outputs = Readonly<Record<string, Float32Array>>;

/**
 * Least tolerance of probes in TF32, whose mantissa of 10 bits rounds each factor by up to 5e-4. Measured on an H100: 2.6e-4 (primary of
 * paper size).
 */
const tf32Tolerance = 5e-3;

/** One row, and a batch. */
const warmRowCounts = [1, 64];

/**
 * Runs zeros through the networks of the event loop, so that no request is the first. The pool warms up its graphs itself.
 * @throws Error if a network does not run
 */
export async function warmUpNetworks(networks: ProbedNetworks): Promise<void> {
  const { policy, critic } = networks;
  for (const rowCount of warmRowCounts) {
    for (const network of [policy, critic?.weights && critic]) {
      const weights = network?.weights && zeroWeights(network.weights);
      await network?.run({ rowCount, rows: {}, weights, demand: standing });
    }
  }
}

const zeroWeights = ({ layout: { size } }: WeightSource): WeightBatch => ({
  entries: [{ block: new Float32Array(size), bytes: size * 4 }],
});

/**
 * Replays probes, so that every output of every network is compared at least once.
 * @throws HyperpolicyError failed_precondition: a network without a probe; as replayProbe
 */
export async function replayProbes(served: ProbedNetworks, probes: readonly Probe[]): Promise<void> {
  const { model, version, policy, critic, adaptation } = served;
  const adaptTarget = adaptation?.kind === 'weights' ? 'adapt' : 'encoder';
  for (const [target, network] of Object.entries({ policy, critic, [adaptTarget]: adaptation })) {
    if (network === null || probes.some((probe) => probe.target === target)) continue;
    throw failedPrecondition({
      where: `${model} version ${version}`,
      expected: `a probe of its ${target}`,
      actual: 'none',
    });
  }
  for (const probe of probes) await replayProbe(served, probe);
}

/**
 * Runs a probe's inputs through the loaded networks. A probe of a graph that is not served passes.
 * @throws HyperpolicyError failed_precondition: outputs that are not all in the probe, or differ by more than its tolerance
 */
async function replayProbe(served: ProbedNetworks, probe: Probe): Promise<void> {
  const { model, version, device, precision } = served;
  const where = `${model} version ${version}, ${probe.target} probe${device === 'cpu' ? '' : ` on ${device}`}`;
  const tolerance = precision === 'tf32' ? Math.max(probe.tolerance, tf32Tolerance) : probe.tolerance;
  for (const outputs of await probedOutputs(served, probe)) {
    for (const name of new Set([...Object.keys(outputs), ...Object.keys(probe.outputs)])) {
      const expected = probe.outputs[name];
      if (expected === undefined || expected.values.length === 0) {
        throw failedPrecondition({ where: `${where} output "${name}"`, expected: 'values to compare', actual: 'none' });
      }
      compareOutput(`${where} output "${name}"`, expected, outputs[name], {
        tolerance,
        remedy: remedyOn(device, precision),
      });
    }
  }
}

function remedyOn(device: Device, precision: Precision): string {
  if (device === 'cpu') return 'The version is not served';
  const likely =
    "It is not served there. A likely cause is the precision of the device's products; --device cpu has none of it";
  if (precision === 'tf32') return `${likely}, and --precision float32 less`;
  return device === 'cuda' ? `${likely}, and NVIDIA_TF32_OVERRIDE must be 0 before the driver loads` : likely;
}

/**
 * In each way that the network can run. Where new rows do not run fused, they are kept from now on, and why is noted. That run goes first: if it
 * did not end, its session is lost, and the run of what is kept says so.
 */
async function probedOutputs(
  { policy, critic, adaptation }: ProbedNetworks,
  probe: Probe,
): Promise<readonly Outputs[]> {
  const { target, inputs } = probe;
  if (target === 'encoder' || target === 'adapt') {
    return adaptation === null ? [] : [await runAdaptationProbe(adaptation, probe)];
  }
  const network = target === 'policy' ? policy : critic;
  if (network === null) return [];
  const rowCount = Object.values(inputs)[0]?.shape[0] ?? 0;
  const rows: Outputs = Object.fromEntries(
    Object.entries(inputs).map(([name, { values }]) => [name, Float32Array.from(values)]),
  );
  const asked = { rowCount, rows, demand: standing };
  const fused = await network.fused?.run(asked).catch((error: unknown) => {
    network.fused = undefined;
    network.notFused = error instanceof Error ? error.message : String(error);
  });
  const { weights: source } = network;
  const weights =
    source && (await source.generate({ values: rows[source.inputName] ?? new Float32Array(0), rowCount }));
  const kept = await network.run({ ...asked, weights });
  return fused === undefined ? [kept] : [kept, fused];
}

function compareOutput(
  where: string,
  expected: ProbeTensor,
  actual: Float32Array | undefined,
  { tolerance, remedy }: { tolerance: number; remedy: string },
): void {
  const refuse = (wanted: string, got: string) => failedPrecondition({ where, expected: wanted, actual: got, remedy });
  if (actual?.length !== expected.values.length) {
    throw refuse(`${expected.values.length} values`, `${actual?.length ?? 'none'}`);
  }
  const unit = unitOf(expected.values);
  expected.values.forEach((value, i) => {
    const difference = Math.abs(actual[i]! - value) / (unit + Math.abs(value));
    // Written so that NaN is refused as well.
    if (!(difference <= tolerance)) throw refuse(`${value} at ${i} within ${tolerance}`, `${actual[i]}`);
  });
}

/**
 * What a value near 0 is compared on: 1, and less where all values of the output are small, such as actions of 1e-4, for otherwise no wrong
 * one would differ. Not less than 0.01: small values can be sums of large ones, with their rounding.
 */
function unitOf(values: readonly number[]): number {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return Math.min(1, Math.max(0.01, 10 * largest));
}
