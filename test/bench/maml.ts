/**
 * MAML's iteration at the paper's size: 40 tasks x 20 episodes x 200 steps before adaptation and again after it, HalfCheetah-Vel, on two
 * threads; with `--reference PYTHON` the same in PyTorch with native MuJoCo in two processes, by turns (maml-reference.py):
 *
 *     pip install torch "gymnasium[mujoco]"
 *
 * Seconds of a round are split into `sampling`, `inner` (adapted policies), `outer` (gradient and line search) and `cg` (products of
 * conjugate gradient); each figure is the median of the rounds. The first iteration of either side is not counted.
 *
 *     npm run bench -- maml [--json FILE] [--reference PYTHON] [--only maml,hyper-maml,...] [--rounds N] [--tasks N] [--episodes N]
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { runToEnd } from '../../src/contract/sliced.ts';
import { createEnvironment } from '../../src/envs/registry.ts';
import { type MamlPolicy, mamlDefaults, mamlPolicies } from '../../trainer/algorithms/maml/config.ts';
import { createMamlLearner } from '../../trainer/algorithms/maml/learner.ts';
import { createSampler } from '../../trainer/algorithms/maml/sampler.ts';
import { createTracedEngine } from '../../trainer/engine/traced.ts';
import { type Figures, report, type Target } from './measure.ts';
import type { BenchOptions } from './options.ts';
import { compareRounds, median } from './statistics.ts';
import { sourceFile } from './torch.ts';

const env = 'HalfCheetah-Vel';
const threadCount = 2;
const parts = ['iteration', 'sampling', 'inner', 'outer', 'cg'] as const;
type Seconds = Readonly<Record<(typeof parts)[number], number>>;

/** One policy on one side. */
type Side = { iterate(): Promise<Seconds>; close(): Promise<void> };

type Size = { readonly taskCount: number; readonly episodeCount: number };

/** Those that the reference has. */
const compared: readonly MamlPolicy[] = ['maml', 'hyper-maml'];

const target: Target = { bound: 'most', value: 0.5 };

export async function run({
  json,
  reference,
  only,
  rounds = 1,
  tasks = 40,
  episodes = 20,
}: BenchOptions): Promise<void> {
  const wanted = only?.split(',') ?? compared;
  const unknown = wanted.find((name) => !mamlPolicies.some((policy) => policy === name));
  if (unknown !== undefined) throw new Error(`--only: expected some of ${mamlPolicies.join(', ')}, got ${unknown}`);
  const size: Size = { taskCount: tasks, episodeCount: episodes };
  const figures: Figures = { tasks, episodes, rounds };
  const targets: Record<string, Target> = {};
  for (const policy of wanted as MamlPolicy[]) {
    const key = policy.replaceAll('-', '_');
    const ours = await openOurs(policy, size);
    if (reference !== undefined && !compared.includes(policy))
      console.error(`${policy}: alone, as the reference has ${compared.join(' and ')} only`);
    const theirs =
      reference !== undefined && compared.includes(policy) ? openTorch(reference, policy, size) : undefined;
    const [own, other]: [Seconds[], Seconds[]] = [[], []];
    for (let round = -1; round < rounds; round++) {
      const pair = [await ours.iterate(), await theirs?.iterate()] as const;
      if (round < 0) continue;
      own.push(pair[0]);
      if (pair[1] !== undefined) other.push(pair[1]);
    }
    await ours.close();
    await theirs?.close();
    note(figures, key, own);
    if (other.length === 0) continue;
    note(figures, `${key}_torch`, other);
    const iterations = (list: readonly Seconds[]) => list.map(({ iteration }) => iteration);
    const { ratio, low, high } = compareRounds(iterations(own), iterations(other));
    Object.assign(figures, {
      [`${key}_iteration_ratio`]: ratio,
      [`${key}_ratio_low`]: low,
      [`${key}_ratio_high`]: high,
    });
    targets[`${key}_iteration_ratio`] = target;
  }
  report(figures, json, targets);
}

function note(figures: Figures, key: string, list: readonly Seconds[]): void {
  for (const part of parts) figures[`${key}_${part}_s`] = median(list.map((seconds) => seconds[part]));
}

async function openOurs(policy: MamlPolicy, size: Size): Promise<Side> {
  const probe = await createEnvironment(env);
  const { specs, episodeStepCountMax } = probe;
  const tasks = probe.tasks!;
  probe.dispose();
  const config = { ...mamlDefaults(policy), ...size };
  const engine = createTracedEngine({ threadCount });
  const learner = createMamlLearner({ config, specs, tasks, engine, seed: 0, episodeStepCountMax });
  const contexts = tasks.sample({ split: 'train', seed: 0, count: size.taskCount });
  const sampler = await createSampler({ env, contexts, episodeCount: size.episodeCount, seed: 0, threadCount });
  let iteration = 0;
  return {
    async iterate() {
      const begin = performance.now();
      const { seconds } = runToEnd(learner.iterate(sampler, contexts, iteration++));
      const { sampling, inner, outer, conjugateGradient: cg } = seconds;
      return { iteration: (performance.now() - begin) / 1000, sampling, inner, outer, cg };
    },
    async close() {
      await sampler.dispose();
      learner.dispose();
    },
  };
}

function openTorch(python: string, policy: MamlPolicy, { taskCount, episodeCount }: Size): Side {
  const child = spawn(python, [sourceFile('test/bench/maml-reference.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const request = { policy, tasks: taskCount, episodes: episodeCount, threads: threadCount };
  return {
    async iterate() {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`${python}: expected the seconds of an iteration, got the end of its output`);
      return JSON.parse(value) as Seconds;
    },
    async close() {
      child.stdin.end();
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}
