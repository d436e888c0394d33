/** `hyperpolicy eval`: drives the environment that a model names through a server and prints the returns. */

import { Command, Option } from 'commander';
import { failedPrecondition } from '../../src/contract/errors.ts';
import { fingerprint } from '../../src/contract/tensor-spec.ts';
import type { Env } from '../../src/envs/env.ts';
import type { PolicyClient } from '../typescript/client.ts';
import {
  integerIn,
  type ModelOptions,
  printJson,
  type ServerOptions,
  selectionOf,
  withClient,
  withModelOptions,
  withServerOptions,
} from './options.ts';

type EvalOptions = ServerOptions &
  ModelOptions & { readonly env?: string; readonly episodes: number; readonly seed: number };

export function createCommand(name: string): Command {
  const command = new Command(name).description(
    'Drive the environment that a model was trained in through a server, and print the return of each episode and their mean.',
  );
  return withModelOptions(withServerOptions(command))
    .option('--env <name>', "environment, also a file such as ./my-env.js; the model's unless given")
    .addOption(new Option('--episodes <count>', 'number of episodes').argParser(integerIn(1, 1_000_000)).default(1))
    .addOption(
      new Option('--seed <number>', 'seed of the first episode; each next episode adds 1')
        .argParser(integerIn(0, Number.MAX_SAFE_INTEGER - 1_000_000))
        .default(0),
    )
    .action(evaluate);
}

async function evaluate(options: EvalOptions): Promise<void> {
  await withClient(options, async (client) => {
    const described = await client.getModel(await selectionOf(client, options));
    const environment = await environmentOf(described, options.env);
    try {
      refuseOtherSpecs(environment, described);
      const returns: number[] = [];
      for (let episode = 0; episode < options.episodes; episode++) {
        const result = await driveEpisode(client, environment, {
          // The version that was described, even if a newer one comes meanwhile.
          model: described.model,
          version: described.version,
          fingerprint: described.fingerprint,
          seed: options.seed + episode,
        });
        returns.push(result.return);
        printJson({ episode, seed: options.seed + episode, ...result });
      }
      printJson(summary(described, returns));
    } finally {
      environment.dispose();
    }
  });
}

/** The model's environment, or the user's own. A path is only taken from the user: the server must not choose what is loaded here. */
async function environmentOf({ model, environment }: { model: string; environment: string }, own: string | undefined) {
  const { createEnvironment, environmentNames } = await import('../../src/envs/registry.ts');
  if (own !== undefined) return createEnvironment(own);
  if (environmentNames.includes(environment)) return createEnvironment(environment);
  throw failedPrecondition({
    where: `eval: environment of "${model}"`,
    expected: `one of ${environmentNames.join(', ')}`,
    actual: `"${environment}"`,
    remedy: 'Name yours with --env ./file.js',
  });
}

function refuseOtherSpecs(
  { name, specs }: Env,
  { model, fingerprint: served, adaptation }: { model: string; fingerprint: string; adaptation: string },
): void {
  const own = fingerprint(specs);
  if (own === served) return;
  throw failedPrecondition({
    where: `eval ${name}`,
    expected: `a model with the environment's specs (${own})`,
    actual: `"${model}" with ${served}`,
    remedy:
      adaptation === ''
        ? undefined
        : 'This model adapts to experience, and has a context of its own in place of the task: see hyperpolicy adapt --help',
  });
}

export type EpisodeOptions = {
  readonly model: string;
  readonly version: number;
  readonly fingerprint: string;
  /** Of the environment's reset. */
  readonly seed: number;
};

export type EpisodeResult = {
  readonly return: number;
  readonly steps: number;
  /** Time of the slowest and of the middle call, milliseconds. */
  readonly actP50Ms: number;
  readonly actMaxMs: number;
};

/** One episode with every action from the server, deterministic. */
export async function driveEpisode(
  client: PolicyClient,
  environment: Env,
  { model, version, fingerprint: specs, seed }: EpisodeOptions,
): Promise<EpisodeResult> {
  let { observation } = environment.reset(seed);
  let total = 0;
  const timesMs: number[] = [];
  for (let ended = false; !ended; ) {
    const startMs = performance.now();
    const { action } = await client.act({
      model,
      version,
      fingerprint: specs,
      observation: Float32Array.from(observation),
      ...(environment.context !== null && { context: Float32Array.from(environment.context) }),
      sequence: BigInt(timesMs.length),
    });
    timesMs.push(performance.now() - startMs);
    const step = environment.step(action.values);
    total += step.reward;
    observation = step.observation;
    ended = step.terminated || step.truncated;
  }
  const sorted = [...timesMs].sort((a, b) => a - b);
  const rounded = (value: number) => Math.round(value * 1000) / 1000;
  return {
    return: total,
    steps: timesMs.length,
    actP50Ms: rounded(sorted[Math.floor(sorted.length / 2)]!),
    actMaxMs: rounded(sorted.at(-1)!),
  };
}

function summary({ model, version }: { model: string; version: number }, returns: readonly number[]) {
  const mean = returns.reduce((sum, value) => sum + value, 0) / returns.length;
  const variance = returns.reduce((sum, value) => sum + (value - mean) ** 2, 0) / returns.length;
  return { model, version, episodes: returns.length, meanReturn: mean, standardDeviation: Math.sqrt(variance) };
}
