/**
 * Several updates in one run of the engine, for every actor-critic learner. Batches and noise wait until there are enough; then
 * parameters, moments and targets go through all updates without leaving the device. What an update computes is the learner's.
 */

import * as tf from '@tensorflow/tfjs-core';
import { invalidArgument } from '../../src/contract/errors.ts';
import type { Random } from '../../src/contract/random.ts';
import type { SpecSizes } from '../../src/contract/tensor-spec.ts';
import type { Parameters } from '../../src/nn/parameters.ts';
import { type Adam, adamDefaults, adamScalars } from '../../src/optim/adam.ts';
import type { BoundInput, Computation, Engine } from '../engine/engine.ts';
import { type Batch, createBatch, partsOf } from '../replay/batch.ts';
import type { NetworkArrays } from './actor-critic.ts';
import { requireFiniteLoss, requireSoundStep } from './finite-loss.ts';
import { boundNetwork, type NetworkTensors, networkAs, networkUnder, stepped } from './network-tensors.ts';
import { boundBatch, copyBatch } from './transitions.ts';
import type { Updates } from './updates.ts';

/** A network that updates change. */
type UpdatedNetwork = {
  readonly arrays: NetworkArrays;
  readonly adam: Adam;
  /** Its steps in one pass; 0 if it stays as it is. */
  readonly stepsPerPass: number;
};

/** Networks by name, tensors of losses and the like by name. */
type PassResult = { readonly networks: Readonly<Record<string, NetworkTensors>>; readonly metrics: Parameters };

/**
 * One pass, of one update or of several that belong together.
 * @param networks by name
 * @param updates the inputs of each update, in order: those of `boundBatch`, and the noise by name
 * @param step the network of that name after one step of Adam
 */
export type Pass = (
  networks: Readonly<Record<string, NetworkTensors>>,
  updates: readonly Parameters[],
  step: (name: string, network: NetworkTensors, gradients: Parameters) => NetworkTensors,
) => PassResult;

export type UpdateRunsOptions = {
  readonly engine: Engine;
  readonly name: string;
  readonly updatesPerRun: number;
  /** Updates that are one pass: those of the critics for one of the actor. */
  readonly updatesPerPass: number;
  readonly networks: Readonly<Record<string, UpdatedNetwork>>;
  readonly sizes: SpecSizes;
  readonly batchSize: number;
  /** Standard normal draws of one update, [B, A] each, in the order in which they are drawn. */
  readonly noises: readonly string[];
  /** The arrays for the metrics of the last pass. */
  readonly metrics: Readonly<Record<string, Float32Array>>;
  /** Metrics that must be finite, by their names in errors. */
  readonly losses: Readonly<Record<string, Float32Array>>;
  readonly pass: Pass;
};

/** @throws HyperpolicyError invalid_argument: a number of updates that is neither 1 nor one of whole passes */
export function requireWholePasses({
  updatesPerRun,
  updatesPerPass,
}: Pick<UpdateRunsOptions, 'updatesPerRun' | 'updatesPerPass'>): void {
  if (updatesPerRun === 1 || updatesPerRun % updatesPerPass === 0) return;
  throw invalidArgument({
    where: 'train: updatesPerRun',
    expected: `1 or a multiple of ${updatesPerPass}, the updates of the critics for one of the actor`,
    actual: `${updatesPerRun}`,
  });
}

/** @throws HyperpolicyError invalid_argument: as {@link requireWholePasses} */
export function createUpdateRuns(options: UpdateRunsOptions): Updates {
  requireWholePasses(options);
  const { updatesPerRun, updatesPerPass, networks } = options;
  const passCount = updatesPerRun / updatesPerPass;
  const queue = createQueue(options);
  const scalars = Object.entries(networks)
    .filter(([, { stepsPerPass }]) => stepsPerPass > 0)
    .map(([network, { adam, stepsPerPass }]) => createScalars(network, adam, passCount * stepsPerPass));
  const computation = compileRuns(options, {
    passCount,
    perUpdate: queue.inputs,
    perStep: Object.assign({}, ...scalars.map(({ arrays }) => arrays)),
  });
  return {
    take(batch, random) {
      if (!queue.add(batch, random)) return 0;
      for (const { fill } of scalars) fill();
      computation.run();
      requireFiniteRun(options);
      return updatesPerRun;
    },
    dispose: () => computation.dispose(),
  };
}

/**
 * The losses of the last update alone are known. A moment that is not finite stays so, and so tells of all.
 * @throws PartialUpdate: the run is taken
 */
function requireFiniteRun({ losses, networks }: UpdateRunsOptions): void {
  for (const [loss, values] of Object.entries(losses)) {
    for (const value of values) requireFiniteLoss(loss, value, { isBegun: true });
  }
  for (const [network, { adam, stepsPerPass }] of Object.entries(networks)) {
    if (stepsPerPass > 0) requireSoundStep(`${network} loss`, adam.isSound());
  }
}

/** The batches and noise of the updates of one run, which wait for each other. */
function createQueue({ updatesPerRun, batchSize, sizes, noises: names }: UpdateRunsOptions) {
  const { actionSize } = sizes;
  const batches = createBatch({ size: updatesPerRun * batchSize, ...sizes });
  const noises = names.map((name) => [name, new Float32Array(batches.size * actionSize)] as const);
  const inputs: Record<string, BoundInput> = {
    ...boundBatch({ ...batches, size: batchSize }, sizes),
    ...Object.fromEntries(noises.map(([name, data]) => [name, { shape: [batchSize, actionSize], data }])),
  };
  const rows = partsOf(batches, updatesPerRun);
  let waitingCount = 0;
  return {
    /** By name; the shape is that of one update. */
    inputs,
    /** Adds an update, and draws its noise. @returns whether there are enough for a run; the next one begins another */
    add(batch: Batch, random: Random): boolean {
      copyBatch(batch, rows[waitingCount]!);
      for (const [, data] of noises) random.fillNormal(partOf(data, waitingCount, updatesPerRun));
      waitingCount = (waitingCount + 1) % updatesPerRun;
      return waitingCount === 0;
    },
  };
}

function compileRuns(
  options: UpdateRunsOptions,
  {
    passCount,
    perUpdate,
    perStep,
  }: {
    readonly passCount: number;
    readonly perUpdate: Readonly<Record<string, BoundInput>>;
    readonly perStep: Readonly<Record<string, Float32Array>>;
  },
): Computation {
  const { engine, name, updatesPerPass, networks } = options;
  const ofUpdates = Object.entries(perUpdate).map(([input, { shape, data }]) => [
    input,
    { shape: [updatesPerPass, ...shape], data },
  ]);
  const ofSteps = Object.entries(perStep).map(([input, data]) => [input, { shape: [data.length / passCount], data }]);
  return engine.compileRepeated({
    name,
    passCount,
    state: {
      ...Object.assign({}, ...Object.entries(networks).map(([network, { arrays }]) => boundNetwork(network, arrays))),
      ...metricState(options.metrics),
    },
    slices: Object.fromEntries([...ofUpdates, ...ofSteps]),
    pass: (inputs) => passOf(options, inputs, Object.keys(perUpdate)),
  });
}

/** Adam's scalars of every step of a run, as slices. */
function createScalars(network: string, adam: Adam, stepCount: number) {
  const [stepSizes, rescales2] = [new Float32Array(stepCount), new Float32Array(stepCount)];
  return {
    arrays: { [`${network}.stepSize`]: stepSizes, [`${network}.rescale2`]: rescales2 },
    /** Counts the steps as taken. */
    fill() {
      for (let i = 0; i < stepCount; i++) {
        adam.stepCount += 1;
        const { learningRate } = adam;
        const { stepSize, rescale2 } = adamScalars(adam.stepCount, { ...adamDefaults, learningRate });
        stepSizes[i] = stepSize;
        rescales2[i] = rescale2;
      }
    },
  };
}

/** @param perUpdate names of the inputs that have a part for each update */
function passOf(
  { name, networks, pass, updatesPerPass, metrics }: UpdateRunsOptions,
  inputs: Parameters,
  perUpdate: readonly string[],
): Record<string, tf.Tensor> {
  const parts = perUpdate.map((input) => [input, tf.unstack(inputs[input]!)] as const);
  const updates = Array.from({ length: updatesPerPass }, (_, i) =>
    Object.fromEntries(parts.map(([input, ofUpdates]) => [input, ofUpdates[i]!])),
  );
  const taken: Record<string, number> = {};
  const scalar = (input: string, i: number): tf.Scalar => tf.reshape(tf.slice(inputs[input]!, i, 1), []);
  const result = pass(
    Object.fromEntries(Object.keys(networks).map((network) => [network, networkUnder(network, inputs)])),
    updates,
    (network, tensors, gradients) => {
      const i = taken[network] ?? 0;
      taken[network] = i + 1;
      const scalars = { stepSize: scalar(`${network}.stepSize`, i), rescale2: scalar(`${network}.rescale2`, i) };
      return stepped(tensors, gradients, scalars);
    },
  );
  for (const [network, { stepsPerPass }] of Object.entries(networks)) {
    const steps = taken[network] ?? 0;
    if (steps !== stepsPerPass)
      throw new Error(`${name}: expected ${stepsPerPass} steps of "${network}", got ${steps}`);
  }
  return {
    ...Object.assign({}, ...Object.entries(result.networks).map(([network, tensors]) => networkAs(network, tensors))),
    ...Object.fromEntries(
      Object.entries(metrics).map(([metric, { length }]) => [
        `metric.${metric}`,
        tf.reshape(result.metrics[metric]!, [length]),
      ]),
    ),
  };
}

/** Metrics go from pass to pass as the state does, so that the last one's come out. */
const metricState = (metrics: UpdateRunsOptions['metrics']): Record<string, BoundInput> =>
  Object.fromEntries(
    Object.entries(metrics).map(([metric, data]) => [`metric.${metric}`, { shape: [data.length], data }]),
  );

const partOf = (data: Float32Array, part: number, count: number): Float32Array => {
  const size = data.length / count;
  return data.subarray(part * size, (part + 1) * size);
};
