/** `hyperpolicy adapt`: adapts a model of a server to experience, as one line of JSON with the handle for `act` and `qgrad`. */

import { Command } from 'commander';
import {
  integerIn,
  type ModelOptions,
  parseRows,
  printJson,
  type ServerOptions,
  selectionOf,
  withClient,
  withContextOptions,
  withModelOptions,
  withServerOptions,
} from './options.ts';

type AdaptCommandOptions = ServerOptions &
  ModelOptions & {
    readonly observation?: number[][];
    readonly action?: number[][];
    readonly reward?: number[][];
    readonly nextObservation?: number[][];
    readonly episodeLengths?: number[][];
    readonly context?: number[][];
    readonly contextHandle?: string;
    readonly seed?: number;
    readonly useMean?: boolean;
  };

export function createCommand(name: string): Command {
  const rows = 'numbers: 1,2,3 or [[1,2,3],[4,5,6]]';
  const command = new Command(name).description(
    'Adapt a model of a server to experience of one task: infer its latent context, or step on the weights of a context. Prints one line of JSON with a handle.',
  );
  return withContextOptions(
    withModelOptions(withServerOptions(command)),
    'context from whose weights the first step starts',
  )
    .option('--observation <rows>', `observation before each action; ${rows}`, parseRows)
    .option('--action <rows>', `actions that were taken; ${rows}`, parseRows)
    .option('--reward <values>', 'reward of each action: 1,2,3', parseRows)
    .option('--next-observation <rows>', 'observation after each action, if the model reads it', parseRows)
    .option('--episode-lengths <counts>', 'steps of each episode: 20,10; default: one episode', parseRows)
    .option(
      '--seed <number>',
      'seed of the context that is drawn; default: drawn by the server',
      integerIn(0, Number.MAX_SAFE_INTEGER),
    )
    .option('--use-mean', "use the posterior's mean as context; nothing is drawn")
    .addHelpText(
      'after',
      `
One row for each step, in the order of the steps. A model needs
--next-observation if "models show" says readsNextObservation.

Examples, of two steps with observations of 3 values and actions of 2:
  hyperpolicy adapt --observation '[[1,2,3],[4,5,6]]' \\
    --action '[[0.5,-0.5],[0,0]]' --reward 1,0.5
  hyperpolicy adapt --observation '[[1,2,3],[4,5,6]]' \\
    --action '[[0.5,-0.5],[0,0]]' --reward 1,0.5 \\
    --next-observation '[[4,5,6],[7,8,9]]' --episode-lengths 1,1`,
    )
    .action(adapt);
}

async function adapt(options: AdaptCommandOptions): Promise<void> {
  const { observation, action, reward, nextObservation, episodeLengths, context, contextHandle, seed, useMean } =
    options;
  await withClient(options, async (client) => {
    const {
      posterior,
      weights,
      contextHandle: handle,
      expiresAfterMs,
      version,
      timing,
    } = await client.adapt({
      ...(await selectionOf(client, options)),
      ...(observation !== undefined && { observation }),
      ...(action !== undefined && { action }),
      ...(reward !== undefined && { reward: reward.flat() }),
      ...(nextObservation !== undefined && { nextObservation }),
      ...(episodeLengths !== undefined && { episodeLengths: episodeLengths.flat() }),
      ...(context !== undefined && { context }),
      ...(contextHandle !== undefined && { contextHandle }),
      ...(seed !== undefined && { seed }),
      ...(useMean !== undefined && { useMean }),
    });
    printJson({
      contextHandle: handle,
      expiresAfterMs,
      ...(posterior && {
        mean: [...posterior.mean.values],
        variance: [...posterior.variance.values],
        context: [...posterior.context.values],
        seed: posterior.seed,
        transitionCount: posterior.transitionCount,
      }),
      ...weights,
      version,
      timing,
    });
  });
}
