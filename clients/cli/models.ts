/** `hyperpolicy models`: what a server has; and packages with random parameters, to try and load a server without training. */

import { Command, Option } from 'commander';
import { serverDefaults } from '../../server/config.ts';
import { emptyStoreRemedy } from '../../src/contract/errors.ts';
import { makeWritableFolder } from '../../src/files/folders.ts';
import { checkModelName } from '../../src/package/model-name.ts';
import type { NetworkKind } from '../../trainer/export/random-package.ts';
import { adminCommands } from './models-admin.ts';
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

export function createCommand(name: string): Command {
  const models = new Command(name).description(
    'List and show the models of a server, choose which versions it serves, and make random ones.',
  );
  models.addCommand(
    withServerOptions(new Command('list').description('Print the ready models, one line of JSON each.')).action(list),
  );
  models.addCommand(
    withModelOptions(
      withServerOptions(new Command('show').description('Print specs and provenance of a model, as JSON.')),
    ).action(show),
  );
  models.addCommand(makeRandomCommand());
  for (const command of adminCommands()) models.addCommand(command);
  return models;
}

async function list(options: ServerOptions): Promise<void> {
  await withClient(options, async (client) => {
    const models = await client.listModels();
    for (const model of models) printJson(model);
    if (models.length === 0) process.stderr.write(`No model is ready. ${emptyStoreRemedy}\n`);
  });
}

async function show(options: ServerOptions & ModelOptions): Promise<void> {
  await withClient(options, async (client) => printJson(await client.getModel(await selectionOf(client, options))));
}

type MakeRandomOptions = {
  readonly store: string;
  readonly model: string;
  readonly policy: NetworkKind;
  readonly critic: NetworkKind;
  readonly stochastic?: boolean;
  readonly observationSize: number;
  readonly actionSize: number;
  readonly contextSize?: number;
  readonly hidden: number;
  readonly trunk: number[];
  readonly latent?: boolean;
  readonly encoder?: boolean;
  readonly adapt?: boolean;
  readonly env?: string;
  readonly environment?: string;
  readonly seed: number;
};

function makeRandomCommand(): Command {
  const kinds = ['plain', 'hyper', 'none'];
  const size = integerIn(1, 100_000);
  return new Command('make-random')
    .description('Publish a package with random parameters, to try or load a server.')
    .option('--store <directory>', 'where to publish', serverDefaults.store)
    .requiredOption('--model <name>', 'name of the model')
    .addOption(new Option('--policy <kind>', 'kind of policy').choices(kinds).default('hyper'))
    .addOption(new Option('--critic <kind>', 'kind of critic').choices(kinds).default('hyper'))
    .option('--stochastic', 'the policy can be sampled')
    .option('--observation-size <count>', 'values of an observation', size, 17)
    .option('--action-size <count>', 'values of an action', size, 6)
    .option(
      '--context-size <count>',
      'values of a context; default: 2 for a hyper policy or an encoder, else none',
      size,
    )
    .option('--hidden <count>', 'width of plain and dynamic networks', size, 256)
    .addOption(
      new Option('--trunk <widths>', "widths of the primary's trunk")
        .argParser((text) => text.split(',').map(size))
        .default([256, 512, 1024], '256,512,1024'),
    )
    .option('--latent', 'the context is inferred, not known to the client')
    .option('--encoder', 'the context is inferred by an encoder: Adapt gives a posterior')
    .option('--adapt', "Adapt changes the policy's weights; needs --stochastic")
    .option('--env <name>', 'take the sizes from the specs of this environment, also a file such as ./my-env.js')
    .addOption(new Option('--environment <name>', 'the former name of --env').hideHelp().conflicts('env'))
    .option('--seed <number>', 'seed of the parameters', integerIn(0, 100_000), 1)
    .action(makeRandom);
}

async function makeRandom(options: MakeRandomOptions): Promise<void> {
  checkModelName(options.model);
  makeWritableFolder(`--store ${options.store}`, options.store);
  const { publishRandomPackage } = await import('../../trainer/export/random-package.ts');
  const { env, environment: environmentName = env, ...given } = options;
  const { directory, version } = await publishRandomPackage({
    ...given,
    ...(environmentName !== undefined && { environment: await environmentSpecs(environmentName) }),
    hiddenSize: options.hidden,
    trunkSizes: options.trunk,
    contextSource: options.latent === true ? 'latent' : 'oracle',
  });
  printJson({ model: options.model, version, directory });
}

async function environmentSpecs(name: string) {
  const { createEnvironment } = await import('../../src/envs/registry.ts');
  const environment = await createEnvironment(name);
  environment.dispose();
  return { name, ...environment.specs };
}
