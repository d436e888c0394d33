/**
 * The engine, in one process: training steps of the paper-size networks, second-order products, and a dynamic network as the
 * server runs it; with `--reference PYTHON` alternating with PyTorch on networks of the same size. `_t1` and `_t2` are one and two
 * threads; the plain key is two. A `_floor_ms` is the matrix products that the step's graphs hold, at the speed of a large product in the
 * same run; at batch 1 reading the weights takes longer than that.
 */

import * as tf from '@tensorflow/tfjs-core';
import { createRandom } from '../../src/contract/random.ts';
import { dynamic } from '../../src/nn/hyper/dynamic.ts';
import { createBuilder } from '../../src/onnx/builder.ts';
import { compile } from '../../src/onnx/compile.ts';
import { encode } from '../../src/onnx/encode.ts';
import { matMul } from '../../src/onnx/ops/matmul.ts';
import { floatTensor, indexTensor, openSession } from '../../src/onnx/session.ts';
import { trace } from '../../src/trace/trace.ts';
import { createEngine } from '../../trainer/engine/choose.ts';
import type { Engine } from '../../trainer/engine/engine.ts';
import { createTracedEngine } from '../../trainer/engine/traced.ts';
import {
  actionSize,
  type Case,
  criticForward,
  criticTrain,
  hessianVector,
  notingEngine,
  observationSize,
  type Traced,
  td3,
} from './engine-cases.ts';
import { medianMs, report } from './measure.ts';
import type { BenchOptions } from './options.ts';
import { median } from './statistics.ts';
import { startTorch, type Timing, type Torch, type TorchCase } from './torch.ts';

type Figures = Record<string, number>;

/** Rounds of alternation with the reference, and seconds of each side in one. Short, so that a neighbour's work meets both. */
const rounds = 8;
const secondsPerSide = 0.5;

export async function run({ json, reference }: BenchOptions): Promise<void> {
  const figures: Figures = {};
  const torch = reference === undefined ? undefined : startTorch(reference);
  for (const threads of [1, 2]) {
    const peak = productPeak(threads);
    figures[`product_gflops_t${threads}`] = peak;
    const measure: Measure = { torch, figures, threads, peak };
    await timed(
      measure,
      'critic_b256_train',
      (engine) => criticTrain(engine, 256),
      ['critic_train', 256],
      (step) => {
        figures[`critic_b256_forward_backward_ms_t${threads}`] = medianMs(step.forwardBackward).median;
        figures.critic_b256_adam_ms = medianMs(step.adam).median;
      },
    );
    await timed(measure, 'critic_b100_train', (engine) => criticTrain(engine, 100), ['critic_train', 100]);
    await timed(measure, 'critic_b1_forward', (engine) => criticForward(engine, 1), ['critic_forward', 1]);
    await timed(measure, 'td3_step', (engine) => td3(engine, 'sa-hyper', 100), ['td3', 100]);
    await timed(measure, 'td3_mlp_step', (engine) => td3(engine, 'mlp-standard', 100), ['td3_mlp', 100]);
    for (const [key, inner] of [['hvp', false] as const, ['hvp_inner', true] as const]) {
      await timed(measure, key, (engine) => hessianVector(engine, { inner, rows: 4000 }), [key, 4000]);
    }
  }
  await torch?.close();
  await compareTensorflow(figures);
  for (const [key, value] of Object.entries(figures)) {
    if (key.endsWith('_t2')) figures[key.slice(0, -'_t2'.length)] = value;
  }
  figures.trace_ms = figures.critic_b256_train_trace_ms!;
  figures.act_dynamic_b1_us = dynamicTime(1);
  figures.act_dynamic_b64_us = dynamicTime(64);
  figures.peak_memory_mib = process.resourceUsage().maxRSS / 1024;
  report(figures, json);
}

type Measure = {
  readonly torch: Torch | undefined;
  readonly figures: Figures;
  readonly threads: number;
  /** GFLOP/s of a large product. */
  readonly peak: number;
};

/** One case from its trace to its disposal; `more` is measured on it at the end. */
async function timed<C extends Case>(
  measure: Measure,
  key: string,
  make: (engine: Engine) => C,
  against: [TorchCase, number],
  more?: (step: C) => void,
): Promise<void> {
  const { figures, threads, peak } = measure;
  const traced: Traced[] = [];
  const step = make(notingEngine(threads, traced));
  const total = (of: (graph: Traced) => number) => traced.reduce((sum, graph) => sum + of(graph), 0);
  figures[`${key}_trace_ms`] = total(({ traceMs }) => traceMs);
  figures[`${key}_nodes`] = total(({ nodeCount }) => nodeCount);
  figures[`${key}_floor_ms_t${threads}`] =
    (1000 * total(({ name, gflop }) => gflop * (step.runCounts?.[name] ?? 1))) / peak;
  await compare({ ...measure, key, step, against });
  more?.(step);
  step.dispose();
}

/**
 * Times a step, by turns with the reference where there is one. A figure is the median of the quietest round, which a machine with
 * neighbours disturbs least. `_cpu_ms` is the processor time of a step, all threads: it leaves out the time that neighbours take.
 */
async function compare({
  torch,
  figures,
  threads,
  key,
  step,
  against: [name, batch],
}: Measure & { key: string; step: Case; against: [TorchCase, number] }): Promise<void> {
  const [ours, theirs]: [Timing[], Timing[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    ours.push(timingOf(step.run));
    if (torch !== undefined) theirs.push(await torch.time(name, batch, threads, secondsPerSide));
  }
  for (const unit of ['ms', 'cpu_ms'] as const) {
    const least = (timings: Timing[]) => Math.min(...timings.map((timing) => timing[unit]));
    figures[`${key}_${unit}_t${threads}`] = least(ours);
    if (torch === undefined) continue;
    figures[`torch_${key}_${unit}_t${threads}`] = least(theirs);
    figures[`${key}_${unit.replace('ms', 'ratio')}_t${threads}`] = least(ours) / least(theirs);
  }
  const [us, them] = [ours, theirs].map((timings) => timings.map(({ ms }) => ms.toPrecision(3)).join(' '));
  console.error(`${key}, ${threads} threads: ${us} ms${torch === undefined ? '' : `; PyTorch ${them} ms`}`);
}

/** Median wall time and mean processor time of a step over one side of a round. */
function timingOf(run: () => void): Timing {
  run();
  const samples: number[] = [];
  const before = process.cpuUsage();
  const end = performance.now() + secondsPerSide * 1000;
  while (performance.now() < end || samples.length < 2) {
    const start = performance.now();
    run();
    samples.push(performance.now() - start);
  }
  const { user, system } = process.cpuUsage(before);
  return { ms: median(samples), cpu_ms: (user + system) / 1000 / samples.length };
}

/** The critic's step on tfjs's TensorFlow backend, operation by operation, where it is installed. */
async function compareTensorflow(figures: Figures): Promise<void> {
  let engine: Engine;
  try {
    engine = await createEngine('tensorflow', { threadCount: 2 });
  } catch {
    return;
  }
  const [ours, theirs] = [criticTrain(createTracedEngine({ threadCount: 2 }), 256), criticTrain(engine, 256)];
  const times = Array.from({ length: rounds }, () => ({
    ours: timingOf(ours.run).ms,
    theirs: timingOf(theirs.run).ms,
  }));
  const least = (side: 'ours' | 'theirs') => Math.min(...times.map((time) => time[side]));
  figures.tfjs_node_critic_b256_train_ms = least('theirs');
  figures.tfjs_node_critic_b256_train_ratio = least('ours') / least('theirs');
  ours.dispose();
  theirs.dispose();
}

/** GFLOP/s of a [1024, 1024] product: what the arithmetic of a step could reach. */
export function productPeak(threadCount: number): number {
  const size = 1024;
  const g = createBuilder();
  const [a, b] = ['a', 'b'].map((name) => g.input(name, 'float32', [size, size]));
  const graph = g.finish('product', [{ name: 'y', value: matMul(g, a!, b!) }]);
  const session = openSession(encode(graph), { threadCount, spinning: threadCount > 1 });
  const matrix = floatTensor(new Float32Array(size * size).fill(0.5), [size, size]);
  const y = floatTensor(new Float32Array(size * size), [size, size]);
  const times = Array.from(
    { length: rounds },
    () => medianMs(() => session.run({ a: matrix, b: matrix }, { y }), { seconds: 0.3 }).median,
  );
  const ms = Math.min(...times);
  session.dispose();
  return (2 * size ** 3) / ms / 1e6;
}

/** One run of a generated dynamic network [rows, 17] -> 256 -> 6 with one context, in microseconds. */
function dynamicTime(rows: number): number {
  const random = createRandom(2);
  const normals = (...shape: number[]) => {
    const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
    random.fillNormal(data);
    return floatTensor(data, shape);
  };
  const feeds = {
    w0: normals(1, observationSize, 256),
    g0: normals(1, 1, 256),
    b0: normals(1, 1, 256),
    w1: normals(1, 256, actionSize),
    g1: normals(1, 1, actionSize),
    b1: normals(1, 1, actionSize),
    index: indexTensor(Array<number>(rows).fill(0)),
    observation: normals(rows, observationSize),
  };
  const specs = Object.fromEntries(
    Object.entries(feeds).map(([name, { dims }]) => [
      name,
      name === 'index'
        ? { shape: ['B'], dtype: 'int64' as const }
        : { shape: name === 'observation' ? ['B', observationSize] : ['K', ...dims.slice(1)] },
    ]),
  );
  const graph = trace('dynamic', specs, ({ index, observation, ...layers }) => {
    const pick = (name: string) => tf.gather(layers[name]!, index as tf.Tensor1D);
    const layer = (i: number) => ({ weight: pick(`w${i}`), gain: pick(`g${i}`), bias: pick(`b${i}`) });
    return { action: tf.tanh(dynamic([layer(0), layer(1)], observation!)) };
  });
  const session = compile(graph, { threadCount: 1 });
  const { median } = medianMs(() => session.run(feeds), { callsPerSample: 50 });
  session.dispose();
  return median * 1000;
}
