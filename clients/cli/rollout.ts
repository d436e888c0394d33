/** `hyperpolicy rollout`: runs episodes of an environment under a policy, prints their returns, and draws one as a picture. */

import { existsSync } from 'node:fs';
import { extname, join } from 'node:path';
import { Command } from 'commander';
import { serverDefaults } from '../../server/config.ts';
import { invalidArgument, notFound } from '../../src/contract/errors.ts';
import type { Env } from '../../src/envs/env.ts';
import { trainedIn } from '../../src/package/manifest.ts';
import { isModelName } from '../../src/package/model-name.ts';
import type { ModelPackage } from '../../src/package/package.ts';
import type { RecordOptions } from '../../trainer/rollout/pictures/trajectory.ts';
import type { BatchPolicy } from '../../trainer/rollout/policy.ts';
import type { Progress } from '../../trainer/run/progress.ts';
import { adaptEpisodesOf, refuseAdaptation } from './adaptation-flags.ts';
import { parseVersion } from './analysed-versions.ts';
import { checkWritableFile, writeChecked } from './checks.ts';
import { meanOf } from './episodes.ts';
import { integerIn, parseContext, printJson } from './options.ts';
import { adaptedEpisodes, type EpisodeToPlay, plainEpisodes } from './played-episodes.ts';

type RolloutOptions = {
  readonly env?: string;
  readonly policy: string;
  readonly store: string;
  readonly out?: string;
  readonly episodes: number;
  readonly seed: number;
  readonly adaptEpisodes?: number;
  readonly steps?: number;
  readonly context?: readonly number[];
  readonly width: number;
  readonly height: number;
};

export function createCommand(name: string): Command {
  const pixels = integerIn(1, 4096);
  return new Command(name)
    .description(
      'Run episodes of an environment under a policy and print the return of each. With --out, the first episode is drawn, ' +
        'of a model that adapts the first after adaptation: .gif an animation in real time, .png six frames side by side, .json shapes and poses for a 3-D viewer.',
    )
    .option(
      '--env <name>',
      "environment, also a file such as ./my-env.js; the model's unless given. `random` and `zero` need it",
    )
    .option(
      '--policy <policy>',
      '`random`, `zero`, a published model (my-cheetah: its newest version; my-cheetah@3), or the directory of a version; its returns ' +
        'are those of eval',
      'random',
    )
    .option('--store <directory>', 'where the model of --policy is published', serverDefaults.store)
    .option('--out <file>', 'picture of the first episode: .gif, .png or .json')
    .option(
      '--episodes <count>',
      'number of episodes; of a model that adapts: after adaptation',
      integerIn(1, 1_000_000),
      1,
    )
    .option(
      '--adapt-episodes <count>',
      "of a model that adapts: episodes before adaptation, in the same task; 0: it acts as before adaptation (default: as many as in its trainer's evaluations)",
      integerIn(0, 1_000_000),
    )
    .option(
      '--seed <number>',
      'seed of the first episode; each next episode adds 1. Of a model that adapts: of the task',
      integerIn(0, Number.MAX_SAFE_INTEGER - 1_000_000),
      0,
    )
    .option('--steps <count>', 'most steps of an episode', integerIn(1, 1_000_000_000))
    .option(
      '--context <values>',
      'context of the task: 1,2,3 (default: drawn by the seed, from the range that the model was trained in; two directions in turn)',
      parseContext,
    )
    .option('--width <pixels>', 'width of a frame', pixels, 320)
    .option('--height <pixels>', 'height of a frame', pixels, 240)
    .action(rollout);
}

async function rollout(options: RolloutOptions, command: Command): Promise<void> {
  const { out, episodes, width, height } = options;
  const { encodeTrajectory, pictureFormats, sceneOf } = await import('../../trainer/rollout/pictures/trajectory.ts');
  const format = out === undefined ? undefined : extname(out).slice(1).toLowerCase();
  if (format !== undefined && !pictureFormats.some((known) => known === format)) {
    throw invalidArgument({
      where: '--out',
      expected: `a file that ends in ${pictureFormats.map((known) => `.${known}`).join(', ')}`,
      actual: `"${out}"`,
    });
  }
  if (out !== undefined) checkWritableFile('--out', out);
  const content = await contentOf(options);
  const env = await environmentOf(content, options, command);
  let opened: Opened | undefined;
  try {
    // Before episodes are played: those before adaptation come first, and are not drawn.
    if (out !== undefined) sceneOf(env);
    opened = await openPolicy(content, options, env);
    const { policy } = opened;
    const returns: number[] = [];
    const before: number[] = [];
    for (const one of opened.episodes) {
      const { episode, seed, isBefore, isAdapted } = one;
      const draws = episode === 0 && !isBefore && format !== undefined;
      const result = await runEpisode({ ...one, env, policy, stepCountMax: options.steps }, draws);
      if (result.trajectory !== undefined && out !== undefined && format !== undefined) {
        const frames = await frameProgress(out);
        const content = encodeTrajectory(result.trajectory, format, { width, height, onFrame: frames.note });
        frames.finish();
        writeChecked('--out', out, content);
        printJson({ picture: out, bytes: content.byteLength });
      }
      const phase = isAdapted === undefined ? {} : { adaptation: isAdapted ? 'after' : 'before' };
      printJson({ episode, seed, ...phase, return: result.return, steps: result.stepCount });
      (isBefore ? before : returns).push(result.return);
    }
    printJson({
      environment: env.name,
      policy: options.policy,
      ...(opened.adaptEpisodes !== undefined && { adaptEpisodes: opened.adaptEpisodes }),
      episodes,
      ...(before.length > 0 && { meanReturnBefore: meanOf(before) }),
      meanReturn: meanOf(returns),
    });
  } finally {
    opened?.policy.dispose();
    env.dispose();
  }
}

/** A display appears after this time: pictures of a few frames need none. */
const displayDelayMs = 1000;

async function frameProgress(label: string) {
  const { createProgress } = await import('../../trainer/run/progress.ts');
  const startedAtMs = performance.now();
  let progress: Progress | undefined;
  return {
    note(done: number, stepCount: number) {
      if (performance.now() - startedAtMs < displayDelayMs) return;
      progress ??= createProgress({ stream: process.stderr, label, stepCount, unit: 'frame' });
      progress.report(done);
    },
    finish: () => progress?.finish(),
  };
}

type Opened = {
  readonly policy: BatchPolicy;
  readonly episodes: Iterable<EpisodeToPlay>;
  /** Of a model that adapts. */
  readonly adaptEpisodes?: number;
};

/** The one that is asked for, else the model's. */
async function environmentOf(
  content: ModelPackage | undefined,
  { env: own, policy }: RolloutOptions,
  command: Command,
): Promise<Env> {
  const { createModelEnvironment, withTasksInTurn } = await import('../../src/envs/model-environment.ts');
  if (content !== undefined) {
    return withTasksInTurn(await createModelEnvironment(trainedIn(content.manifest), { own, where: 'rollout' }));
  }
  if (own === undefined) {
    command.error(`error: required option '--env <name>' not specified: \`${policy}\` names no environment`, {
      exitCode: 2,
    });
  }
  const { createEnvironment } = await import('../../src/envs/registry.ts');
  return withTasksInTurn(await createEnvironment(own));
}

/** Undefined of a policy that is no model. */
async function contentOf({ policy, store }: RolloutOptions): Promise<ModelPackage | undefined> {
  if (policy === 'random' || policy === 'zero') return undefined;
  const { readPackage } = await import('../../src/package/package.ts');
  return readPackage(await directoryOf(policy, store));
}

async function openPolicy(content: ModelPackage | undefined, options: RolloutOptions, env: Env): Promise<Opened> {
  const { adapts } = await import('../../trainer/rollout/package-network.ts');
  if (content !== undefined && adapts(content.manifest)) return openAdapting(content, options, env);
  refuseAdaptation(options.policy, { '--adapt-episodes': options.adaptEpisodes });
  return { policy: await openPlain(content, options, env), episodes: plainEpisodes(options) };
}

async function openPlain(content: ModelPackage | undefined, { policy, seed }: RolloutOptions, { specs }: Env) {
  const policies = await import('../../trainer/rollout/policy.ts');
  if (content !== undefined) return policies.createPackagePolicy(content, { specs, threadCount: 1 });
  return policy === 'random' ? policies.createRandomPolicy(specs, seed) : policies.createZeroPolicy();
}

async function openAdapting(content: ModelPackage, options: RolloutOptions, env: Env): Promise<Opened> {
  const { manifest } = content;
  const { model, training, encoder } = manifest;
  const own = training.adaptationEpisodeCount;
  const adaptEpisodes = adaptEpisodesOf(options.adaptEpisodes, { name: model, own, least: 0 });
  const { createAdaptingPolicy } = await import('../../trainer/rollout/adapting-policy.ts');
  // It draws the task.
  env.reset(options.seed, options.context === undefined ? {} : { context: options.context });
  const context = env.context?.slice() ?? new Float64Array(0);
  const policy = createAdaptingPolicy(content, { specs: env.specs, threadCount: 1 });
  const infers = encoder !== null;
  return { policy, adaptEpisodes, episodes: adaptedEpisodes(policy, { ...options, adaptEpisodes, context, infers }) };
}

/** Neither a path nor misspelt: the store knows whether there is one. */
const isModelChoice = (name: string): boolean => isModelName(name.replace(/@[1-9]\d{0,9}$/, ''));

/** The directory of a version, named by itself or by its model in the store. */
async function directoryOf(name: string, store: string): Promise<string> {
  if (existsSync(join(name, 'manifest.json'))) return name;
  if (isModelChoice(name)) {
    const { findVersions } = await import('../../trainer/analysis/model-versions.ts');
    const remedy = '`random`, `zero` and the directory of a version are policies too';
    return (await findVersions(store, [parseVersion(name)], remedy)).at(-1)!.directory;
  }
  throw notFound({
    where: '--policy',
    expected:
      '`random`, `zero`, a published model such as my-model or my-model@3, or the directory of a version, such as .hyperpolicy/store/my-model/1',
    actual: existsSync(name) ? `"${name}", which has no manifest.json` : `"${name}", which does not exist`,
  });
}

async function runEpisode(
  {
    stepCountMax = Infinity,
    ...asked
  }: Omit<RecordOptions, 'stepCountMax'> & { readonly stepCountMax: number | undefined },
  draws: boolean,
) {
  const { runEpisode: run, recordTrajectory } = await import('../../trainer/rollout/pictures/trajectory.ts');
  const episode = { ...asked, stepCountMax };
  if (!draws) return { ...run(episode), trajectory: undefined };
  const trajectory = recordTrajectory(episode);
  return { return: trajectory.return, stepCount: trajectory.stepCount, trajectory };
}
