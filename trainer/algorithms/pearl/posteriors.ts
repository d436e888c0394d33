/** Posteriors over z from transitions: of a whole sample at once, as updates see it, and of transitions as they come, as a server does. */

import { under } from '../../../src/nn/parameters.ts';
import {
  encoderOutputs,
  type Gaussian,
  gaussianOf,
  type LatentKnowledge,
  noKnowledge,
  withTransitions,
} from '../../../src/posterior/latent-knowledge.ts';
import { type BoundInput, boundParameters, type Engine } from '../../engine/engine.ts';
import { encoderInputs, encoderResults } from '../../export/adaptation.ts';
import type { ReadArrays } from '../../off-policy/actor-critic.ts';
import { type Batch, createBatch, partsOf } from '../../replay/batch.ts';
import type { Transition } from '../../replay/replay-buffer.ts';
import type { PearlConfig } from './config.ts';
import { posteriorOf } from './losses.ts';
import type { PearlNetworks } from './networks.ts';
import { boundContext, contextOf } from './updates.ts';

export type PosteriorOptions = {
  readonly engine: Engine;
  readonly config: PearlConfig;
  readonly networks: PearlNetworks;
  readonly encoder: ReadArrays;
};

export type SamplePosteriors = {
  /** Transitions of each of R rows, to be written. */
  readonly samples: readonly Batch[];
  /** Mean and variance of each row, [R, Z]. */
  infer(): Gaussian;
  dispose(): void;
};

/** Posteriors of R samples of `contextBatchSize` transitions. */
export function createSamplePosteriors(
  { engine, config, networks, encoder }: PosteriorOptions,
  rowCount: number,
): SamplePosteriors {
  const { contextBatchSize, latentSize } = config;
  const { observationSize, actionSize } = networks.q.sizes;
  const batch = createBatch({ size: rowCount * contextBatchSize, observationSize, actionSize });
  const mean = new Float32Array(rowCount * latentSize);
  const variance = new Float32Array(rowCount * latentSize);
  const computation = engine.compile({
    name: 'pearl-posterior',
    inputs: {
      ...boundParameters('encoder', encoder.parameters, encoder.shapes),
      ...boundContext(batch, [rowCount, contextBatchSize], { networks, config }),
    },
    outputs: { mean, variance },
    fn: (inputs) => posteriorOf(networks, under('encoder', inputs), contextOf(inputs, networks)),
  });
  return {
    samples: partsOf(batch, rowCount),
    infer() {
      computation.run();
      return { mean, variance };
    },
    dispose: () => computation.dispose(),
  };
}

export type RunningPosteriors = {
  /** Forgets all transitions. */
  clear(): void;
  /** More transitions of a task, in order. */
  add(task: number, transitions: Iterable<Transition>): void;
  /** N(0, I) if the task has none. */
  of(task: number): Gaussian;
  dispose(): void;
};

/** Transitions that go through the encoder in one run; one if each depends on those before. */
const chunkSize = 64;

/** Posteriors of several tasks, whose transitions come in any number. */
export function createRunningPosteriors(options: PosteriorOptions, taskCount: number): RunningPosteriors {
  const { engine, config, networks, encoder: arrays } = options;
  const { encoder, scaling } = networks;
  const { aggregation, memorySize } = encoder.steps;
  const { latentSize } = config;
  const rowCount = memorySize > 0 ? 1 : chunkSize;
  const memory = new Float32Array(memorySize);
  const rows = createBatch({ ...networks.q.sizes, contextSize: 0, size: rowCount });
  const outputs = encoderOutputs[aggregation].map(
    (name) => [name, new Float32Array(rowCount * (name === 'next_memory' ? memorySize : latentSize))] as const,
  );
  const computation = engine.compile({
    name: 'pearl-encode',
    inputs: { ...boundParameters('encoder', arrays.parameters, arrays.shapes), ...boundRows(options, rows, memory) },
    outputs: Object.fromEntries(outputs),
    fn: (inputs) => encoderResults({ encoder, scaling }, under('encoder', inputs), encoderInputs(inputs)),
  });
  const valueCount = 2 * latentSize + memorySize;
  let known: LatentKnowledge[] = [];
  const clear = () => {
    known = Array.from({ length: taskCount }, () => noKnowledge(valueCount));
  };
  clear();

  function take(task: number, count: number): void {
    memory.set(known[task]!.values.subarray(2 * latentSize));
    computation.run();
    const ofRows = outputs.map(([, data]) => data.subarray(0, (data.length / rowCount) * count));
    known[task] = withTransitions(aggregation, known[task]!, ofRows, count);
  }

  return {
    clear,
    add(task, transitions) {
      let count = 0;
      for (const transition of transitions) {
        writeRow(rows, count++, transition);
        if (count < rowCount) continue;
        take(task, count);
        count = 0;
      }
      if (count > 0) take(task, count);
    },
    of: (task) => gaussianOf(aggregation, known[task]!, { size: latentSize, prior: 'start' }),
    dispose: () => computation.dispose(),
  };
}

/** By the names of `encoder.onnx`. */
function boundRows(
  { networks, config }: PosteriorOptions,
  { size, observation, action, reward, nextObservation }: Batch,
  memory: Float32Array,
): Record<string, BoundInput> {
  const { observationSize, actionSize } = networks.q.sizes;
  return {
    observation: { shape: [size, observationSize], data: observation },
    action: { shape: [size, actionSize], data: action },
    reward: { shape: [size], data: reward },
    ...(config.encodesNextObservation && {
      next_observation: { shape: [size, observationSize], data: nextObservation },
    }),
    ...(memory.length > 0 && { memory: { shape: [size, memory.length], data: memory } }),
  };
}

function writeRow(rows: Batch, at: number, { observation, action, reward, nextObservation }: Transition): void {
  rows.observation.set(observation, at * observation.length);
  rows.action.set(action, at * action.length);
  rows.nextObservation.set(nextObservation, at * nextObservation.length);
  rows.reward[at] = reward;
}
