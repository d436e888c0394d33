/** `hyperpolicy import FILE`: publishes a network from a safetensors file, so that a model trained elsewhere is served here. */

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { serverDefaults } from '../../server/config.ts';
import { unboundedText } from '../../src/contract/bounds.ts';
import { writtenNumber } from '../../src/contract/written-number.ts';
import { makeWritableFolder } from '../../src/files/folders.ts';
import { unreadableNamed } from '../../src/package/listed-file.ts';
import { checkModelName } from '../../src/package/model-name.ts';
import { integerIn, printJson } from './options.ts';

type ImportCommandOptions = {
  readonly architecture?: string;
  readonly observationSize?: number;
  readonly actionSize?: number;
  readonly contextSize?: number;
  readonly actionLow?: number[];
  readonly actionHigh?: number[];
  readonly model: string;
  readonly store: string;
};

export function createCommand(name: string): Command {
  const [size, sizeOrNone] = [integerIn(1, 100_000), integerIn(0, 100_000)];
  return new Command(name)
    .description(
      'Publish a policy or a critic from a safetensors file. A file of this project (networks/ of the directory of a run that is over) describes itself ' +
        'and needs no options. A PyTorch state dict of the code of Sarafian et al. 2021 needs the options; its actions ' +
        'are clipped to the bounds and not scaled. Prints one line of JSON.',
    )
    .argument('<file>', 'a .safetensors file')
    .option(
      '--architecture <name>',
      'network of a state dict, one that "hyperpolicy architectures" marks under import. For a file of this project, options must agree with the file',
    )
    .option('--observation-size <count>', 'values of an observation', size)
    .option('--action-size <count>', 'values of an action', size)
    .option('--context-size <count>', 'values of a context; default: 0, no context', sizeOrNone)
    .option(
      '--action-low <values>',
      'lower bounds: one number, or one per action value; default: unbounded',
      parseBounds,
    )
    .option('--action-high <values>', 'upper bounds, in the same form', parseBounds)
    .requiredOption('--model <name>', 'name of the model to publish')
    .option('--store <directory>', 'where to publish', serverDefaults.store)
    .action(importFile);
}

async function importFile(path: string, options: ImportCommandOptions): Promise<void> {
  checkModelName(options.model);
  const file = await contentOf(path);
  makeWritableFolder(`--store ${options.store}`, options.store);
  const { importNetwork } = await import('../../trainer/export/import-network.ts');
  const { observationSize, actionSize, contextSize, architecture, store, model } = options;
  const { version, directory, manifest } = await importNetwork({
    file,
    fileName: basename(path),
    architecture,
    sizes: { observationSize, actionSize, contextSize },
    actionLow: options.actionLow,
    actionHigh: options.actionHigh,
    store,
    model,
  });
  const unbounded = unboundedText(manifest.action);
  if (unbounded !== undefined) process.stderr.write(`${unbounded}. Bounds: --action-low, --action-high\n`);
  printJson({ model, version, directory, files: Object.keys(manifest.files) });
}

async function contentOf(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw unreadableNamed(`import ${path}`, path, cause);
  }
}

function parseBounds(text: string): number[] {
  const values = text.split(',').map(writtenNumber);
  if (values.every(Number.isFinite)) return values;
  throw new InvalidArgumentError('Expected numbers with commas between: -1 or -1,-0.5,-2');
}
