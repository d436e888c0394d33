/** `hyperpolicy qgrad`: values and action-gradients of a critic, from a server, as one line of JSON. */

import { Command, Option } from 'commander';
import {
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

type QGradCommandOptions = ServerOptions &
  ModelOptions & {
    readonly observation: number[][];
    readonly action: number[][];
    readonly context?: number[][];
    readonly contextHandle?: string;
    readonly reduction: 'q1' | 'min' | 'mean';
  };

export function createCommand(name: string): Command {
  const rows = 'numbers: 1,2,3 or [[1,2,3],[4,5,6]]';
  const command = new Command(name).description(
    "Ask a server for a critic's values and their gradients with respect to the action. Prints one line of JSON.",
  );
  return withContextOptions(withModelOptions(withServerOptions(command)), 'one context, or one per action')
    .requiredOption('--observation <rows>', `one for all actions, or one per action; ${rows}`, parseRows)
    .requiredOption('--action <rows>', rows, parseRows)
    .addOption(
      new Option(
        '--reduction <rule>',
        'how the two Q functions become one value: the first, the smaller, or their mean',
      )
        .choices(['q1', 'min', 'mean'])
        .default('min'),
    )
    .addHelpText(
      'after',
      `
Examples, for observations of 3 values and actions of 2:
  hyperpolicy qgrad --observation 0.1,0.2,0.3 --action 0.5,-0.5
  hyperpolicy qgrad --observation 0.1,0.2,0.3 --action '[[0.5,-0.5],[0,0]]'
  hyperpolicy qgrad --observation '[[1,2,3],[4,5,6]]' \\
    --action '[[0.5,-0.5],[0,0]]' --reduction q1`,
    )
    .action(qGrad);
}

async function qGrad(options: QGradCommandOptions): Promise<void> {
  const { observation, action, context, contextHandle, reduction } = options;
  await withClient(options, async (client) => {
    const result = await client.qGrad({
      ...(await selectionOf(client, options)),
      observation,
      action,
      ...(context !== undefined && { context }),
      ...(contextHandle !== undefined && { contextHandle }),
      reduction,
    });
    printJson({
      q: rowsOf(result.q),
      dqDa: rowsOf(result.dqDa),
      version: result.version,
      weightAgeMs: Math.round(result.weightAgeMs),
      timing: result.timing,
    });
  });
}
