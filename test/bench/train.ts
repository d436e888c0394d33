/**
 * Environment steps a second of the whole loop: TD3 and SAC on HalfCheetah-v5 with an MLP and with a paper-size hypernetwork as critic,
 * collection, replay and updates, one update a step, without evaluations. `_c1` is one core; `_c2`, and a key without either, two:
 * two threads inside an operator, and environments step beside the learner. With `--reference PYTHON`, the same algorithm by
 * Stable-Baselines3, SBX and RLtools on the same cores, by turns, where the interpreter has them:
 *
 *     pip install torch stable-baselines3 "gymnasium[mujoco]" sbx-rl "rltools[mkl]"
 *
 * A `_us` is microseconds a step of the learner's own thread: `simulation` (beyond what other threads do meanwhile), `acting`, `update`
 * (its graphs), `optimiser`, `learner_rest` (batch and noise), `loop_rest` (sampling, replay). `evaluation` is what the
 * paper's evaluations, 10 episodes every 5000 steps, take in their thread for each step of training. `floor` is the matrix products of the
 * update at the speed of a large product on one core.
 *
 *     npm run bench -- train [--json FILE] [--reference PYTHON] [--against rltools,...] [--only td3_mlp,sac_mlp,...] [--rounds N]
 */

import { fileURLToPath } from 'node:url';
import { createEnvironment } from '../../src/envs/registry.ts';
import { evaluate } from '../../trainer/run/evaluation.ts';
import { productPeak } from './engine.ts';
import { notingEngine, type Traced } from './engine-cases.ts';
import { type Figures, report, type Target } from './measure.ts';
import type { BenchOptions } from './options.ts';
import { ownCores } from './own-cores.ts';
import { compareRounds, median } from './statistics.ts';
import { benchEnvironment, createBenchLearner, type TrainRun } from './train-learner.ts';
import { openSide, type Side, type Window } from './train-sides.ts';

type Subject = Pick<TrainRun, 'algorithm' | 'critic'> & {
  readonly key: string;
  /** Of its steps a second. */
  readonly name: string;
  /** The references have MLPs. */
  readonly hasReferences: boolean;
};

const subjects: readonly Subject[] = (['td3', 'sac'] as const).flatMap((algorithm) => [
  { algorithm, critic: 'mlp-standard', key: `${algorithm}_mlp`, name: 'mlp_halfcheetah', hasReferences: true },
  { algorithm, critic: 'sa-hyper', key: `${algorithm}_sa_hyper`, name: 'sa_hyper_paper', hasReferences: false },
]);

const libraries = ['sb3', 'sbx', 'rltools'] as const;
const secondsPerWindow = 3;
const defaultRounds = 3;

const targets: Readonly<Record<string, Target>> = Object.fromEntries(
  ['td3', 'sac'].flatMap((algorithm) => [
    [`${algorithm}_mlp_ratio_vs_rltools_c1`, { bound: 'least', value: 1.3, moonshot: 2 }],
    [`${algorithm}_mlp_ratio_vs_rltools_c2`, { bound: 'least', value: 1.8, moonshot: 3 }],
  ]),
);

export async function run(options: BenchOptions): Promise<void> {
  const { json, reference, against, only, rounds = defaultRounds } = options;
  const figures: Figures = {};
  const others = reference === undefined ? [] : (against?.split(',') ?? libraries);
  const unknown = others.find((name) => !(libraries as readonly string[]).includes(name));
  if (unknown !== undefined) throw new Error(`--against: expected some of ${libraries.join(', ')}, got ${unknown}`);
  const wanted = only?.split(',');
  const chosen = subjects.filter(({ key }) => wanted === undefined || wanted.some((part) => key.includes(part)));
  if (chosen.length === 0) throw new Error(`--only: expected a part of ${subjects.map(({ key }) => key).join(', ')}`);
  const peak = productPeak(1);
  figures.product_gflops_c1 = peak;
  for (const subject of chosen) {
    await describe(subject, peak, figures);
    for (const coreCount of [1, 2]) await race(subject, { coreCount, reference, others, rounds }, figures);
    figures[`${subject.algorithm}_${subject.name}_sps`] = figures[`${subject.algorithm}_${subject.name}_sps_c2`]!;
  }
  report(figures, json, targets);
}

/** What is known without the references: the floor, and what the paper's evaluations cost. */
async function describe({ key, ...subject }: Subject, peak: number, figures: Figures): Promise<void> {
  const traced: Traced[] = [];
  const { learner } = await createBenchLearner(subject, notingEngine(1, traced));
  // TD3's actor is updated every second time.
  const share = (name: string) => (name.endsWith('-act') ? 0 : name === 'td3-actor' ? 0.5 : 1);
  const gflop = traced.reduce((sum, graph) => sum + share(graph.name) * graph.gflop, 0);
  figures[`${key}_floor_us`] = (1e6 * gflop) / peak;
  figures[`${key}_floor_sps_c1`] = peak / gflop;
  const env = await createEnvironment(benchEnvironment);
  const begin = performance.now();
  await evaluate({ env, act: learner.act.bind(learner), episodeCount: 1, seed: 0 });
  figures[`${key}_evaluation_us`] = ((performance.now() - begin) * 1000 * 10) / 5000;
  env.dispose();
  learner.dispose();
}

/** The sides by turns, on so many cores. */
async function race(
  { algorithm, critic, key, name, hasReferences }: Subject,
  {
    coreCount,
    reference,
    others,
    rounds,
  }: { coreCount: number; reference: string | undefined; others: readonly string[]; rounds: number },
  figures: Figures,
): Promise<void> {
  const cores = ownCores().slice(0, coreCount);
  const threads: TrainRun = { algorithm, critic, threadCount: coreCount, collectorThreadCount: coreCount - 1 };
  const sides = new Map<string, Side>();
  const samples = new Map<string, Window[]>();
  try {
    sides.set('ours', (await openSide([process.execPath, ownScript, JSON.stringify(threads)], cores))!);
    for (const library of hasReferences ? others : []) {
      const side = await openSide([reference!, referenceScript, library, algorithm, String(coreCount)], cores);
      if (side === null) console.error(`${library}: not installed for ${reference}`);
      else sides.set(library, side);
    }
    for (let round = 0; round < rounds; round++) {
      for (const [side, { measure }] of sides) {
        samples.set(side, [...(samples.get(side) ?? []), await measure(secondsPerWindow)]);
      }
    }
  } finally {
    for (const { close } of sides.values()) close();
  }
  const rates = (side: string) => samples.get(side)!.map(({ stepsPerSecond }) => stepsPerSecond);
  figures[`${algorithm}_${name}_sps_c${coreCount}`] = median(rates('ours'));
  noteParts(`${key}_c${coreCount}`, samples.get('ours')!, figures);
  for (const library of [...sides.keys()].filter((side) => side !== 'ours')) {
    figures[`${library}_${key}_sps_c${coreCount}`] = median(rates(library));
    const { ratio } = compareRounds(rates('ours'), rates(library));
    figures[`${key}_ratio_vs_${library}_c${coreCount}`] = ratio;
    figures[`${key}_ratio_vs_${library}`] = ratio;
  }
}

/** Where the time of a step goes, microseconds. */
function noteParts(key: string, windows: readonly Window[], figures: Figures): void {
  const part = (name: string) => median(windows.map(({ parts }) => parts[name]!));
  const [simulation, acting, update, optimiser, learning] = [
    part('simulation'),
    part('acting'),
    part('update'),
    part('optimiser'),
    part('learning'),
  ];
  const whole = median(windows.map(({ stepsPerSecond }) => 1e6 / stepsPerSecond));
  const all = {
    simulation,
    acting,
    update,
    optimiser,
    learner_rest: learning - update - optimiser,
    loop_rest: whole - learning - acting - simulation,
  };
  for (const [name, us] of Object.entries(all)) figures[`${key}_${name}_us`] = us;
}

const ownScript = fileURLToPath(new URL('train-run.js', import.meta.url));
/** Compiled benches run from dist/; the script stays in the source tree. */
const referenceScript = fileURLToPath(new URL('../../../test/bench/train-reference.py', import.meta.url));
