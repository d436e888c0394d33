/** `hyperpolicy quickstart`: trains a model if there is none, serves it, and compares its returns there and in this process. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { serverDefaults } from '../../server/config.ts';
import { failedPrecondition } from '../../src/contract/errors.ts';
import { createRandom } from '../../src/contract/random.ts';
import { specSize } from '../../src/contract/tensor-spec.ts';
import type { Env } from '../../src/envs/env.ts';
import { makeWritableFolder } from '../../src/files/folders.ts';
import type { TrainOptions } from '../../trainer/train.ts';
import { createPolicyClient, type PolicyClient } from '../typescript/client.ts';
import { checkPorts, checkWritableFile } from './checks.ts';
import { commandLine } from './command-line.ts';
import { meanOf } from './episodes.ts';
import { integerIn } from './options.ts';
import { startServerProcess } from './server-process.ts';
import { runTraining } from './train.ts';

const environmentName = 'HalfCheetah-v5';
const model = 'halfcheetah-quickstart';
/** Threads of every run, in training and serving alike: results do not depend on the number of cores. */
const threadCount = 1;
/** Of the options that say which run it is, and what becomes of it. */
const runDefaults = { store: serverDefaults.store, runs: 'runs', seed: 0, steps: 32_000 };
/** With random actions, before the first update. */
const warmUpSteps = 1_000;
/** A kill loses at most this much training. */
const checkpointMinutes = 1 / 3;

type QuickstartOptions = {
  readonly store: string;
  readonly runs: string;
  readonly port: number;
  readonly metricsPort: number;
  readonly httpPort?: number;
  readonly seed: number;
  readonly steps: number;
  readonly exit?: boolean;
};

export function createCommand(name: string): Command {
  const port = integerIn(0, 65535);
  return new Command(name)
    .description(
      'Train TD3 with a hypernetwork critic on HalfCheetah for two to five minutes, publish the model, serve it, and ' +
        'drive one episode through the server. If the newest version was trained with these steps and this seed, it is not trained again.',
    )
    .option('--exit', 'stop the server and exit after the episode')
    .option('--store <directory>', 'where the model is published', runDefaults.store)
    .option('--runs <directory>', 'where the run keeps metrics, plot and checkpoints', runDefaults.runs)
    .option('--port <port>', 'gRPC port; 0 picks a free one', port, serverDefaults.port)
    .option(
      '--metrics-port <port>',
      'HTTP port of metrics and health; 0 picks a free one',
      port,
      serverDefaults.metricsPort,
    )
    .option('--http-port <port>', 'port of JSON over HTTP; 0 picks a free one; default: off', port)
    .option('--seed <number>', 'seed of the training run', integerIn(0, 2 ** 31), runDefaults.seed)
    .option(
      '--steps <count>',
      `environment steps of the training run; nothing is learnt in the first ${warmUpSteps}, which are warm-up`,
      integerIn(1, 2 ** 31),
      runDefaults.steps,
    )
    .action(quickstart);
}

async function quickstart(options: QuickstartOptions): Promise<void> {
  await checkFreePorts(options);
  makeWritableFolder(`--runs ${options.runs}`, options.runs);
  const logFile = join(options.runs, 'server.log');
  checkWritableFile("the server's log", logFile);
  if (!(await ensureModel(options))) return;
  const { createEnvironment } = await import('../../src/envs/registry.ts');
  const environment = await createEnvironment(environmentName);
  const { store, port, metricsPort, httpPort } = options;
  const flags = {
    ...{ store, port, 'metrics-port': metricsPort, threads: threadCount },
    ...(httpPort !== undefined && { 'http-port': httpPort }),
  };
  // Ctrl-C reaches the server too, as it is in the same process group, and npm hands it on; a signal to this process alone is passed on, also
  // while the server starts.
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  const { signal } = stopping;
  const server = await startServerProcess(flags, { logFile, warn: say, signal }).catch((error: unknown) => {
    say(`The model is kept: the same command serves it without training again; ${otherPorts}.`);
    throw error;
  });
  if (server === undefined) return environment.dispose();
  const client = createPolicyClient({ address: server.address });
  try {
    await demonstrate(client, environment, options);
  } catch (error) {
    stop();
    throw error;
  } finally {
    client.close();
    environment.dispose();
  }
  if (options.exit === true) {
    stop();
  } else {
    say('');
    say(`Serving until Ctrl-C.  gRPC ${server.address}   metrics http://${server.metricsAddress}/metrics`);
    if (server.httpAddress !== undefined) say(`JSON over HTTP: http://${server.httpAddress}`);
    say(`The server's log: ${logFile}`);
    say(`Try: npx hyperpolicy eval --server ${server.address} --model ${model} --episodes 3`);
  }
  await server.ended;
}

const otherPorts = 'npm start -- --port 0 --metrics-port 0 takes any that are free';

/** Before minutes of training. */
async function checkFreePorts(options: QuickstartOptions): Promise<void> {
  const { port, metricsPort, httpPort } = options;
  const ports = { '--port': port, '--metrics-port': metricsPort, '--http-port': httpPort };
  const [where, remedy] = ['quickstart', otherPorts];
  await checkPorts(serverDefaults.host, ports, {
    where,
    remedy,
    refusal: (flag, port, cause) =>
      failedPrecondition({
        where: `${where}: ${flag} ${port}`,
        expected: 'a free port',
        actual:
          cause.code === 'EADDRINUSE'
            ? 'one that is in use, perhaps by a server that is running already'
            : cause.message,
        remedy: `Stop that, or choose others: ${remedy}`,
        cause,
      }),
  });
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

/** The command that goes on with the run of these options. */
export function sameCommand(options: Pick<QuickstartOptions, keyof typeof runDefaults>): string {
  const names = ['store', 'runs', 'seed', 'steps'] as const;
  const given = names.filter((name) => options[name] !== runDefaults[name]);
  const args = given.flatMap((name) => [`--${name}`, `${options[name]}`]);
  return commandLine(['npm', 'start', ...(args.length > 0 ? ['--', ...args] : [])]);
}

/** @returns whether there is a model; false if training was interrupted */
async function ensureModel(options: QuickstartOptions): Promise<boolean> {
  const { store, runs, seed, steps } = options;
  const newest = await newestWhole(store);
  if (newest?.steps === steps && newest.seed === seed) {
    say(
      `Version ${newest.version} of "${model}" in ${store} was trained for ${steps} steps with seed ${seed}: training is skipped. ` +
        'Other --steps or another --seed train a further version.',
    );
    return true;
  }
  if (newest !== undefined) {
    say(
      `Version ${newest.version} of "${model}" in ${store} was trained for ${newest.steps ?? 'unknown'} steps with seed ${newest.seed}, ` +
        `not for ${steps} with seed ${seed}: a further version is published.`,
    );
  }
  const { train } = await import('../../trainer/train.ts');
  const { hasCheckpoint, readRunConfig } = await import('../../trainer/run/run-directory.ts');
  const { forgetPublication } = await import('../../trainer/run/publication.ts');
  const { returnTexts } = await import('../../trainer/run/return-text.ts');
  const ofSteps = steps === runDefaults.steps ? '' : `-steps${steps}`;
  const runDirectory = join(runs, `${model}-seed${seed}${ofSteps}`);
  const resume = await hasCheckpoint(runDirectory);
  // The newest version is what is served: a finished run whose version is an older one is published again.
  if (resume) await forgetPublication(runDirectory);
  const begun = resume ? readRunConfig(runDirectory) : quickConfig(seed);
  const config: TrainOptions['config'] = {
    ...begun,
    algorithm: { ...begun.algorithm, name: 'td3' },
    loop: { ...begun.loop, stepCount: steps },
    checkpointMinutes,
    publish: { store, model, which: 'best' },
  };
  const again = sameCommand(options);
  const action = resume ? `Going on with the run in ${runDirectory}:` : 'Training';
  say(`${action} TD3 with an SA-Hyper critic on ${environmentName}, ${steps} steps.`);
  const { run, published, publishedBefore } = await runTraining(
    { runDirectory, resume: again, unit: 'step' },
    (signal) =>
      train({
        ...{ config, runDirectory, resume, resumeCommand: again, signal, stream: process.stderr },
      }),
  );
  const { directory } = published ?? publishedBefore ?? {};
  if (directory === undefined) {
    say(`Interrupted at step ${run.step}; the checkpoint is kept. Go on with: ${again}`);
    return false;
  }
  const { best } = run;
  if (best !== undefined) {
    say(
      `Best evaluation after the warm-up, which chose the policy: mean return ${returnTexts(best.meanReturn)[0]}, at step ${best.step}.`,
    );
  }
  const { freshReturn, freshStandardDeviation, freshEpisodeCount } = published?.manifest.training ?? {};
  if (freshReturn !== undefined) {
    const [mean, deviation] = returnTexts(freshReturn, freshStandardDeviation!);
    say(`Published policy on ${freshEpisodeCount} fresh episodes: mean return ${mean} +- ${deviation}.`);
  }
  say(`Published ${directory}. Learning curve: ${join(runDirectory, 'learning-curve.svg')}`);
  return true;
}

type Newest = { readonly version: number; readonly seed: number; readonly steps: unknown };

/** The newest version with the settings of its run, if it is there and undamaged; says what is wrong with one that is not. */
async function newestWhole(store: string): Promise<Newest | undefined> {
  if (!existsSync(store)) return undefined;
  const { listModels, readPackage } = await import('../../src/package/package.ts');
  const version = (await listModels(store)).find((entry) => entry.model === model)?.versions.at(-1);
  if (version === undefined) return undefined;
  try {
    const { training } = (await readPackage(join(store, model, String(version)))).manifest;
    const { loop } = training.config as { readonly loop?: { readonly stepCount?: unknown } };
    return { version, seed: training.seed, steps: loop?.stepCount };
  } catch (error) {
    say(
      `Version ${version} of "${model}" cannot be used; a new one is published from the run. ${(error as Error).message}`,
    );
    return undefined;
  }
}

/** A narrower critic and higher learning rates than the paper's, so that training takes a few minutes. */
function quickConfig(seed: number) {
  const critic = { architecture: 'sa-hyper', trunkSizes: [64], dynamicHiddenSizes: [128] };
  return {
    environment: environmentName,
    algorithm: { critic, actorLearningRate: 6e-4, criticLearningRate: 6e-4 },
    loop: {
      seed,
      warmUpStepCount: warmUpSteps,
      evaluationInterval: 4_000,
      checkpointInterval: 8_000,
      replayCapacity: 100_000,
    },
    threadCount,
  };
}

/** The episode through the server and in process, a random policy's, and a QGrad sample. */
async function demonstrate(client: PolicyClient, environment: Env, { store, seed }: QuickstartOptions): Promise<void> {
  const { version, fingerprint } = await client.getModel({ model });
  const selection = { model, version, fingerprint };
  const episodeSeed = seed + 1000;
  const served = await recordEpisode(environment, episodeSeed, async (observation) => {
    const { action } = await client.act({ ...selection, observation });
    return action.values;
  });
  const local = await recordEpisode(environment, episodeSeed, await localPolicy(store, version, environment));
  const equal = served.actions.every((action, i) => action === local.actions[i]) && served.return === local.return;
  const uniform = createRandom(episodeSeed, 1);
  const random: number[] = [];
  for (let episode = 0; episode < 10; episode++) {
    const size = specSize(environment.specs.action);
    const draw = () => Float32Array.from({ length: size }, () => 2 * uniform.uniform() - 1);
    random.push((await recordEpisode(environment, episodeSeed + episode, draw)).return);
  }
  say('');
  say(`Return of an episode through the server (gRPC)  ${served.return.toFixed(3)}  (${served.stepCount} steps)`);
  say(
    `Return of the same policy in this process       ${local.return.toFixed(3)}  (${equal ? 'every action bit-equal' : 'DIFFERENT'})`,
  );
  say(`Mean return of a random policy, 10 episodes     ${meanOf(random).toFixed(3)}`);
  const { observation } = environment.reset(episodeSeed);
  const first = Float32Array.from(observation);
  const { action } = await client.act({ ...selection, observation: first });
  const { q, dqDa } = await client.qGrad({ ...selection, observation: first, action, reduction: 'min' });
  say(
    `QGrad at the first observation: q ${q.values[0]!.toFixed(3)}, dq/da [${[...dqDa.values].map((g) => g.toFixed(3)).join(', ')}]`,
  );
  if (!equal) {
    throw failedPrecondition({
      where: 'quickstart',
      expected: 'every served action to equal the in-process one bit by bit',
      actual: `returns ${served.return} and ${local.return}`,
    });
  }
}

type Act = (observation: Float32Array) => Float32Array | Promise<Float32Array>;

/** Runs one episode: its return, its length and every action value in order. */
async function recordEpisode(environment: Env, seed: number, act: Act) {
  let { observation } = environment.reset(seed);
  const actions: number[] = [];
  let total = 0;
  for (let stepCount = 1; ; stepCount++) {
    const action = await act(Float32Array.from(observation));
    actions.push(...action);
    const step = environment.step(action);
    total += step.reward;
    observation = step.observation;
    if (step.terminated || step.truncated) return { return: total, stepCount, actions };
  }
}

/** The published policy in this process, run as the server runs it. */
async function localPolicy(store: string, version: number, { specs }: Env): Promise<Act> {
  const { readPackage } = await import('../../src/package/package.ts');
  const { createPackagePolicy } = await import('../../trainer/rollout/policy.ts');
  const policy = createPackagePolicy(await readPackage(join(store, model, String(version))), { specs, threadCount });
  const noContext = new Float64Array(0);
  return (observation) => {
    const action = new Float32Array(specSize(specs.action));
    policy.act(observation, noContext, action);
    return action;
  };
}
