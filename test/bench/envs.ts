/**
 * Environment steps per second: single, raw `mj_step` beside it, vectorised on one and on all cores, and, with a Python
 * interpreter that has gymnasium[mujoco] and envpool, those in the same run, in turns. All sides take the same recorded actions,
 * and their resets count.
 *
 *     npm run bench -- envs [--json FILE] [--reference PYTHON]
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRandom } from '../../src/contract/random.ts';
import { specSize } from '../../src/contract/tensor-spec.ts';
import { antModel } from '../../src/envs/models/ant.ts';
import { halfCheetahModel } from '../../src/envs/models/half-cheetah.ts';
import { hopperModel, walker2dModel } from '../../src/envs/models/planar-walkers.ts';
import { createEnvironment } from '../../src/envs/registry.ts';
import { createVectorEnv } from '../../trainer/rollout/vector-env.ts';
import { createRawRun, recordRun } from './envs-raw.ts';
import { openReference, type Reference } from './envs-reference.ts';
import { report } from './measure.ts';
import type { BenchOptions } from './options.ts';
import { median } from './statistics.ts';

type Subject = {
  readonly key: string;
  readonly name: string;
  readonly model: string;
  readonly physicsStepCount: number;
};

const subjects: readonly Subject[] = [
  { key: 'halfcheetah', name: 'HalfCheetah-v5', model: halfCheetahModel(), physicsStepCount: 5 },
  { key: 'hopper', name: 'Hopper-v5', model: hopperModel(), physicsStepCount: 4 },
  { key: 'walker2d', name: 'Walker2d-v5', model: walker2dModel({ rightFootFriction: 1.9 }), physicsStepCount: 4 },
  { key: 'ant', name: 'Ant-v5', model: antModel(), physicsStepCount: 5 },
];

const environmentCount = 16;
const sequenceLength = 1000;
const roundCount = 5;
/** Rounds of the overhead, whose two sides differ by a few hundredths. */
const pairCount = 40;
const secondsPerSample = 1;

type Figures = Record<string, number>;

export async function run({ json, reference: python }: BenchOptions): Promise<void> {
  const figures: Figures = { environment_count: environmentCount };
  const folder = mkdtempSync(join(tmpdir(), 'hyperpolicy-bench-'));
  const reference = python === undefined ? null : openReference(python);
  try {
    for (const subject of subjects) {
      const sequence = await recordActions(subject.name);
      const file = join(folder, `${subject.key}.f32`);
      writeFileSync(file, new Uint8Array(sequence.buffer));
      await measureOverhead(subject, sequence, figures);
      await measureRates(subject, sequence, reference, file, figures);
    }
  } finally {
    reference?.close();
    rmSync(folder, { recursive: true });
  }
  report(figures, json);
}

/** Uniform actions within the bounds, [T, N, A]; single runs take the first environment's. */
async function recordActions(name: string): Promise<Float32Array<ArrayBuffer>> {
  const env = await createEnvironment(name);
  const { low, high } = env.specs.action;
  const size = specSize(env.specs.action);
  env.dispose();
  const random = createRandom(7);
  return Float32Array.from({ length: sequenceLength * environmentCount * size }, (_, i) => {
    const dim = i % size;
    return low[dim]! + (high[dim]! - low[dim]!) * random.uniform();
  });
}

/** Calls `step` for a while and gives calls per second; the clock is read once per `batch` calls. */
function rateOf(step: () => void, batch: number, seconds: number): number {
  const begin = performance.now();
  let count = 0;
  let elapsed = 0;
  do {
    for (let i = 0; i < batch; i++) step();
    count += batch;
    elapsed = performance.now() - begin;
  } while (elapsed < seconds * 1000);
  return (count / elapsed) * 1000;
}

/** The environment against the same physics steps and resets alone, pairwise in turns. */
async function measureOverhead(
  { key, name, model, physicsStepCount }: Subject,
  sequence: Float32Array,
  figures: Figures,
) {
  const env = await createEnvironment(name);
  const recorded = recordRun(env, sequence, environmentCount);
  const raw = await createRawRun(model, physicsStepCount, recorded);
  const whole = () => {
    let episode = 0;
    env.reset(episode);
    for (const action of recorded.actions) {
      const { terminated, truncated } = env.step(action);
      if (terminated || truncated) env.reset(++episode);
    }
  };
  const timed = (pass: () => void) => {
    const begin = performance.now();
    pass();
    return performance.now() - begin;
  };
  for (let i = 0; i < 3; i++) {
    whole();
    raw.pass();
  }
  const pairs = Array.from({ length: pairCount }, (_, i) => {
    // Each goes first in half of the pairs.
    if (i % 2 === 0) return { whole: timed(whole), raw: timed(raw.pass) };
    const rawMs = timed(raw.pass);
    return { whole: timed(whole), raw: rawMs };
  });
  const perSecond = (ms: number) => (recorded.actions.length / ms) * 1000;
  figures[`${key}_single_sps`] = perSecond(median(pairs.map((pair) => pair.whole)));
  figures[`${key}_raw_sps`] = perSecond(median(pairs.map((pair) => pair.raw)));
  figures[`${key}_overhead`] = median(pairs.map((pair) => 1 - pair.raw / pair.whole));
  raw.dispose();
  env.dispose();
}

/** Single and vectorised rates, ours and the reference's in turns. */
async function measureRates(
  { key, name }: Subject,
  sequence: Float32Array,
  reference: Reference | null,
  file: string,
  figures: Figures,
): Promise<void> {
  const env = await createEnvironment(name);
  const size = specSize(env.specs.action);
  const actions = Array.from({ length: sequenceLength }, (_, t) =>
    sequence.slice(t * environmentCount * size, (t + 1) * environmentCount * size),
  );
  let at = 0;
  let episode = 0;
  env.reset(episode);
  const single = () => {
    const { terminated, truncated } = env.step(actions[at++ % sequenceLength]!.subarray(0, size));
    if (terminated || truncated) env.reset(++episode);
  };
  const coreCount = availableParallelism();
  const one = await createVectorEnv({ env: name, environmentCount, seed: 1, threadCount: 1 });
  const all = await createVectorEnv({ env: name, environmentCount, seed: 1, threadCount: coreCount });
  one.reset();
  all.reset();
  const samples: Record<string, number[]> = {};
  const note = (side: string, rate: number) => {
    samples[side] ??= [];
    samples[side].push(rate);
  };
  const sides = ['single', 'sync', 'async', 'envpool'] as const;
  for (const side of sides) await reference?.open(side, { name, file, environmentCount, threadCount: coreCount });
  for (let round = 0; round < roundCount; round++) {
    note('single', rateOf(single, 100, secondsPerSample));
    if (reference !== null) note('gymnasium', await reference.rate('single', secondsPerSample));
    const vector = (env: typeof one) =>
      environmentCount * rateOf(() => env.step(actions[at++ % sequenceLength]!), 10, secondsPerSample);
    note('vector_core', vector(one));
    note('vector', vector(all));
    if (reference === null) continue;
    for (const side of ['sync', 'async', 'envpool'] as const) note(side, await reference.rate(side, secondsPerSample));
  }
  await reference?.closeAll();
  env.dispose();
  await one.dispose();
  await all.dispose();
  figures[`${key}_vector_core_sps`] = median(samples.vector_core!);
  figures[`${key}_vector_sps`] = median(samples.vector!);
  if (reference === null) return;
  const better = median(samples.sync!) > median(samples.async!) ? samples.sync! : samples.async!;
  figures[`${key}_gymnasium_sps`] = median(samples.gymnasium!);
  figures[`${key}_gymnasium_sync_sps`] = median(samples.sync!);
  figures[`${key}_gymnasium_async_sps`] = median(samples.async!);
  figures[`${key}_envpool_sps`] = median(samples.envpool!);
  // Ratios of rounds that ran next to each other; the median leaves out rounds that a neighbour disturbed.
  const ratio = (ours: number[], theirs: number[]) => median(ours.map((rate, i) => rate / theirs[i]!));
  figures[`${key}_ratio_vs_gymnasium`] = ratio(samples.single!, samples.gymnasium!);
  figures[`${key}_vector_ratio_vs_gymnasium`] = ratio(samples.vector!, better);
  figures[`${key}_vector_ratio_vs_envpool`] = ratio(samples.vector!, samples.envpool!);
}
