/** `hyperpolicy act`: actions for observations, from a server, as one line of JSON. */

import { Command } from 'commander';
import {
  integerIn,
  type ModelOptions,
  parseRows,
  printJson,
  rowsOf,
  type ServerOptions,
  selectionOf,
  withClient,
  withContextOptions,
  withModelOptions,
  withServerOptions,
} from './options.ts';

type ActCommandOptions = ServerOptions &
  ModelOptions & {
    readonly observation: number[][];
    readonly context?: number[][];
    readonly contextHandle?: string;
    readonly sample?: boolean;
    readonly seed?: number;
    readonly logProb?: boolean;
  };

export function createCommand(name: string): Command {
  const command = new Command(name).description('Ask a server for actions. Prints one line of JSON.');
  return withContextOptions(withModelOptions(withServerOptions(command)), 'one context, or one per row')
    .requiredOption('--observation <rows>', 'one row per action: 1,2,3 or [[1,2,3],[4,5,6]]', parseRows)
    .option('--sample', 'sample the action; stochastic policies only')
    .option(
      '--seed <number>',
      'seed of the sample; default: drawn by the server',
      integerIn(0, Number.MAX_SAFE_INTEGER),
    )
    .option('--log-prob', 'also print log-probabilities; stochastic policies only')
    .addHelpText(
      'after',
      `
Examples:
  hyperpolicy act --model my-model --observation 0.1,0.2,0.3
  hyperpolicy act --observation '[[1,2,3],[4,5,6]]' --context 0.5,-0.5 --label stable
  hyperpolicy act --observation 0.1,0.2,0.3 --sample --seed 7 --log-prob`,
    )
    .action(act);
}

async function act(options: ActCommandOptions): Promise<void> {
  const { observation, context, contextHandle, sample = false, seed, logProb = false } = options;
  await withClient(options, async (client) => {
    const result = await client.act({
      ...(await selectionOf(client, options)),
      observation,
      ...(context !== undefined && { context }),
      ...(contextHandle !== undefined && { contextHandle }),
      sample,
      ...(seed !== undefined && { seed }),
      logProb,
    });
    printJson({
      action: rowsOf(result.action),
      ...(result.logProb && { logProb: rowsOf(result.logProb) }),
      ...(result.seed !== undefined && { seed: result.seed }),
      version: result.version,
      weightAgeMs: Math.round(result.weightAgeMs),
      timing: result.timing,
    });
  });
}
