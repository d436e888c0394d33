/** `hyperpolicy eval`: drives the environment that a model names through a server and prints the returns. */

import { Command } from 'commander';
import { failedPrecondition } from '../../src/contract/errors.ts';
import { specDifference } from '../../src/contract/spec-difference.ts';
import { type ContextSpec, fingerprint, type PolicySpecs } from '../../src/contract/tensor-spec.ts';
import type { Env } from '../../src/envs/env.ts';
import type { PolicyClient } from '../typescript/client.ts';
import { adaptEpisodesOf, refuseAdaptation } from './adaptation-flags.ts';
import { type AdaptingModel, driveTask, taskSeeds } from './adapted-episodes.ts';
import { driveEpisode, meanOf } from './episodes.ts';
import {
  integerIn,
  type ModelOptions,
  parseContext,
  printJson,
  type ServerOptions,
  selectionOf,
  withClient,
  withModelOptions,
  withServerOptions,
} from './options.ts';

type EvalOptions = ServerOptions &
  ModelOptions & {
    readonly env?: string;
    readonly episodes: number;
    readonly seed: number;
    readonly tasks?: number;
    readonly adaptEpisodes?: number;
    readonly context?: readonly number[];
  };

type Described = Awaited<ReturnType<PolicyClient['getModel']>>;

const countMax = 1_000_000;

export function createCommand(name: string): Command {
  const command = new Command(name).description(
    'Drive the environment that a model was trained in through a server, and print the return of each episode and their mean; ' +
      'of a model that adapts, for each task the mean return before adaptation and after it.',
  );
  const count = integerIn(1, countMax);
  return withModelOptions(withServerOptions(command))
    .option('--env <name>', "environment, also a file such as ./my-env.js; the model's unless given")
    .option(
      '--episodes <count>',
      'number of episodes; of a model that adapts: in each task, after adaptation',
      count,
      1,
    )
    .option(
      '--seed <number>',
      'seed of the first episode, or of the first task; each next one adds 1',
      integerIn(0, Number.MAX_SAFE_INTEGER - countMax),
      0,
    )
    .option(
      '--context <values>',
      'task of all episodes: 1,2,3 (default: drawn by the seed, from the range that the model was trained in; two directions in turn)',
      parseContext,
    )
    .option('--tasks <count>', 'of a model that adapts: number of tasks (default: 1)', count)
    .option(
      '--adapt-episodes <count>',
      "of a model that adapts: episodes in each task before adaptation (default: as many as in its trainer's evaluations)",
      integerIn(0, countMax),
    )
    .addHelpText(
      'after',
      `
A model adapts if \`hyperpolicy models show\` has an "adaptation". It is driven as in its trainer's evaluations, task by task:
  1. A task is drawn by the seed: from the range that its run was given (train pearl --train-range), else from the environment's training
     tasks, of which two directions come in turn; or it is --context. It stays for all episodes of the task; each episode has a start of its own.
  2. --adapt-episodes episodes are played, and their transitions sent to Adapt.
  3. --episodes episodes are played with the handle that Adapt answered.
  "posterior" (PEARL): before adaptation each episode has a context drawn from the prior; after it each has one drawn from the posterior
  of all episodes before. Actions are deterministic.
  "weights" (MAML): actions are samples before and after adaptation, and the policy reads the task itself if it was trained to.
  All steps before adaptation are in one request: 4096 at most, unless the server was started with another --max-rows.

Examples:
  hyperpolicy eval --model my-cheetah --episodes 10
  hyperpolicy eval --model my-pearl --tasks 20
  hyperpolicy eval --model my-pearl --context 0.6,0.8
  hyperpolicy eval --model my-maml --tasks 20 --adapt-episodes 10 --episodes 10`,
    )
    .action(evaluate);
}

async function evaluate(options: EvalOptions): Promise<void> {
  await withClient(options, async (client) => {
    const described = await client.getModel(await selectionOf(client, options));
    const { createModelEnvironment, withTasksInTurn } = await import('../../src/envs/model-environment.ts');
    const { taskRange } = described;
    const environment = withTasksInTurn(
      await createModelEnvironment({ ...described, taskRange }, { own: options.env, where: 'eval' }),
    );
    try {
      refuseOtherSpecs(environment, described, options.env);
      const { adaptation } = described;
      if (adaptation === 'posterior' || adaptation === 'weights') {
        const model: AdaptingModel = {
          ...drivenOf(described),
          adaptation,
          readsNextObservation: described.readsNextObservation,
        };
        await evaluateTasks(client, environment, model, {
          ...options,
          adaptEpisodes: adaptEpisodesOf(options.adaptEpisodes, {
            name: described.model,
            own: described.adaptationEpisodeCount,
            least: adaptation === 'weights' ? 1 : 0,
          }),
        });
      } else {
        const { tasks, adaptEpisodes } = options;
        refuseAdaptation(described.model, { '--tasks': tasks, '--adapt-episodes': adaptEpisodes });
        await evaluateEpisodes(client, environment, drivenOf(described), options);
      }
    } finally {
      environment.dispose();
    }
  });
}

/** The version that was described, even if a newer one comes meanwhile. */
const drivenOf = ({ model, version, fingerprint: of, context }: Described) => ({
  model,
  version,
  fingerprint: of,
  takesContext: context?.source === 'oracle',
});

async function evaluateEpisodes(
  client: PolicyClient,
  environment: Env,
  model: ReturnType<typeof drivenOf>,
  { episodes, seed: firstSeed, context }: EvalOptions,
): Promise<void> {
  const returns: number[] = [];
  for (let episode = 0; episode < episodes; episode++) {
    const seed = firstSeed + episode;
    const result = await driveEpisode(client, environment, model, { seed, ...(context && { context }) });
    returns.push(result.return);
    printJson({ episode, seed, ...result });
  }
  const { mean, deviation } = moments(returns);
  const { model: name, version } = model;
  printJson({ model: name, version, episodes: returns.length, meanReturn: mean, standardDeviation: deviation });
}

async function evaluateTasks(
  client: PolicyClient,
  environment: Env,
  model: AdaptingModel,
  {
    tasks = 1,
    seed: firstSeed,
    episodes: afterCount,
    adaptEpisodes: beforeCount,
    context: given,
  }: EvalOptions & { readonly adaptEpisodes: number },
): Promise<void> {
  const returns = { before: [] as number[], after: [] as number[] };
  for (let task = 0; task < tasks; task++) {
    const seed = firstSeed + task;
    environment.reset(seed, given && { context: given });
    const context = environment.context?.slice();
    const seeds = taskSeeds(seed);
    const { before, after, ...times } = await driveTask(client, environment, model, {
      context,
      seeds,
      beforeCount,
      afterCount,
    });
    const mean = { after: moments(after).mean, ...(beforeCount > 0 && { before: moments(before).mean }) };
    returns.after.push(mean.after);
    if (mean.before !== undefined) returns.before.push(mean.before);
    printJson({
      task,
      seed,
      ...(context !== undefined && { context: [...context] }),
      ...(mean.before !== undefined && { returnBefore: mean.before }),
      returnAfter: mean.after,
      ...times,
    });
  }
  const after = moments(returns.after);
  printJson({
    model: model.model,
    version: model.version,
    tasks,
    adaptEpisodes: beforeCount,
    episodes: afterCount,
    ...(beforeCount > 0 && { meanReturnBefore: moments(returns.before).mean }),
    meanReturnAfter: after.mean,
    standardDeviationAfter: after.deviation,
  });
}

/** @param own the user's environment, if it is not the model's */
function refuseOtherSpecs({ name, specs }: Env, described: Described, own: string | undefined): void {
  const { model, environment } = described;
  const modelSpecs = specsOf(described);
  const wanted = { ...specs, context: contextOf(described, modelSpecs.context, specs.context) };
  if (fingerprint(wanted) === described.fingerprint) return;
  const { expected, actual } = specDifference(wanted, modelSpecs);
  throw failedPrecondition({
    where: `eval ${name}`,
    expected: `a model for the environment's ${expected}`,
    actual: `"${model}" for ${actual}`,
    remedy: otherSpecsRemedy(environment, own),
  });
}

function otherSpecsRemedy(environment: string, own: string | undefined): string {
  if (own === undefined) {
    return 'The environment has changed since the model was published: train it anew, or name another with --env';
  }
  return environment === 'none'
    ? `It was made without an environment: "models make-random --env ${own}" makes one that fits`
    : `Name one that has its specs with --env, as "${environment}" had`;
}

function specsOf({ observation, action, context }: Described): PolicySpecs {
  const bounds = (values: readonly number[]) => values.map((value) => (Number.isFinite(value) ? value : null));
  const specOf = ({ names, low, high, units }: NonNullable<Described['observation']>) => ({
    ...{ names, low: bounds(low), high: bounds(high), units },
  });
  return {
    observation: specOf(observation!),
    action: specOf(action!),
    context:
      context === undefined
        ? null
        : { ...specOf(context.spec!), source: context.source === 'latent' ? 'latent' : 'oracle' },
  };
}

/** What a model's context may be: the task, nothing where its policy reads none, or what it infers. */
function contextOf({ adaptation }: Described, own: ContextSpec | null, task: ContextSpec | null): ContextSpec | null {
  if (own === null) return null;
  return own.source === 'latent' && adaptation === 'posterior' ? own : task;
}

function moments(values: readonly number[]): { readonly mean: number; readonly deviation: number } {
  const mean = meanOf(values);
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) };
}
