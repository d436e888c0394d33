/** `hyperpolicy train ALGORITHM`: trains in this process, with progress on standard error, and publishes the model. */

import { cpus } from 'node:os';
import { basename, extname, join } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { serverDefaults } from '../../server/config.ts';
import type { DeviceName } from '../../src/onnx/providers.ts';
import { checkModelName } from '../../src/package/package.ts';
import type { EngineName } from '../../trainer/engine/choose.ts';
import type { Td3RunConfig, TrainTd3Result } from '../../trainer/train-td3.ts';
import { integerIn, printJson } from './options.ts';

export function createCommand(name: string): Command {
  return new Command(name)
    .description('Train a policy and a critic. Ctrl-C leaves a checkpoint that --resume continues.')
    .addCommand(td3Command());
}

type Td3Options = {
  readonly env: string;
  readonly critic: string;
  readonly trunk?: number[];
  readonly dynamicHidden?: number[];
  readonly steps?: number;
  readonly warmUp?: number;
  readonly batchSize?: number;
  readonly actorLr?: number;
  readonly criticLr?: number;
  readonly seed?: number;
  readonly evalEvery?: number;
  readonly evalEpisodes?: number;
  readonly checkpointEvery?: number;
  readonly replayCapacity?: number;
  readonly threads?: number;
  readonly engine?: EngineName;
  readonly device?: DeviceName;
  readonly run?: string;
  readonly store: string;
  readonly model?: string;
  readonly publish: 'best' | 'last' | 'none';
  readonly resume?: boolean;
};

/** Options that a resumed run takes from its own config instead. */
const runOptions = [
  'env critic trunk dynamicHidden warmUp batchSize actorLr criticLr seed evalEvery evalEpisodes checkpointEvery',
  'replayCapacity threads engine device',
]
  .join(' ')
  .split(' ');

function td3Command(): Command {
  const large = 2 ** 31 - 1;
  const integer = (flags: string, description: string, low: number, high = large) =>
    new Option(flags, description).argParser(integerIn(low, high));
  return new Command('td3')
    .description('TD3 with an MLP actor and twin critics. Defaults are those of the paper.')
    .option('--env <name>', 'environment by name, or a file such as ./my-env.js', 'HalfCheetah-v5')
    .option(
      '--critic <architecture>',
      'a critic of "hyperpolicy architectures", e.g. sa-hyper or mlp-standard',
      'sa-hyper',
    )
    .addOption(
      new Option(
        '--trunk <widths>',
        'widths of the primary trunk of a hypernetwork critic, e.g. 256,512,1024',
      ).argParser(parseWidths),
    )
    .addOption(
      new Option('--dynamic-hidden <widths>', 'widths of the hidden layers of its dynamic network, e.g. 256').argParser(
        parseWidths,
      ),
    )
    .addOption(integer('--steps <count>', 'environment steps of the whole run (default: 1000000)', 1))
    .addOption(integer('--warm-up <count>', 'steps with random actions before the first update (default: 1000)', 0))
    .addOption(integer('--batch-size <rows>', 'transitions of one update (default: 100)', 1))
    .addOption(new Option('--actor-lr <rate>', 'learning rate of the actor (default: 0.0003)').argParser(parseRate))
    .addOption(
      new Option(
        '--critic-lr <rate>',
        'learning rate of the critics (default: 0.00005 for hypernetworks, else 0.0003)',
      ).argParser(parseRate),
    )
    .addOption(
      integer(
        '--seed <number>',
        'of everything random; equal seeds give equal runs (default: 0)',
        0,
        Number.MAX_SAFE_INTEGER - 1_000_000,
      ),
    )
    .addOption(integer('--eval-every <steps>', 'steps between evaluations (default: 5000)', 1))
    .addOption(integer('--eval-episodes <count>', 'episodes of one evaluation (default: 10)', 1))
    .addOption(
      integer(
        '--checkpoint-every <steps>',
        'steps between checkpoints, beside one every five minutes (default: 50000)',
        1,
      ),
    )
    .addOption(integer('--replay-capacity <count>', 'transitions kept (default: 1000000)', 1))
    .addOption(integer('--threads <count>', 'threads of one update (default: one per core)', 1, 256))
    .addOption(
      new Option('--engine <name>', 'what computes the updates (default: traced)').choices([
        'traced',
        'tensorflow',
        'cpu',
      ] satisfies EngineName[]),
    )
    .addOption(
      new Option('--device <name>', 'where the traced engine computes the updates (default: cpu)').choices([
        'auto',
        'cpu',
        'webgpu',
        'cuda',
      ] satisfies DeviceName[]),
    )
    .option('--run <directory>', 'run directory: metrics, log, plot, checkpoints; runs/MODEL unless given')
    .option('--store <directory>', 'where the model is published', serverDefaults.store)
    .option('--model <name>', 'name of the published model; ENV-td3-CRITIC in lower case unless given')
    .addOption(
      new Option('--publish <which>', 'the policy of the best evaluation after the warm-up, of the last step, or none')
        .choices(['best', 'last', 'none'])
        .default('best'),
    )
    .option(
      '--resume',
      'go on from the newest checkpoint of the run directory, with its settings; a finished run is published once',
    )
    .addHelpText(
      'after',
      `
Prints one line of JSON at the end; progress goes to standard error.

Examples:
  hyperpolicy train td3 --env HalfCheetah-v5 --critic sa-hyper --model my-cheetah
  hyperpolicy train td3 --critic mlp-standard --steps 100000 --seed 1 --run runs/mlp-1
  hyperpolicy train td3 --run runs/mlp-1 --resume --steps 200000`,
    )
    .action(train);
}

async function train(options: Td3Options, command: Command): Promise<void> {
  const runDirectory = options.run ?? join('runs', modelName(options));
  const { trainTd3 } = await import('../../trainer/train-td3.ts');
  const config = await configOf(options, command, runDirectory);
  const result = await untilInterrupted((signal) =>
    trainTd3({ config, runDirectory, resume: options.resume, signal, stream: process.stderr }),
  );
  printResult(result, runDirectory, config.publish?.model);
}

/** The name that is given, or one made of what is trained; checked before anything is named after it. */
function modelName({ model, env, critic }: Pick<Td3Options, 'model' | 'env' | 'critic'>): string {
  const name = model ?? `${basename(env, extname(env))}-td3-${critic}`.toLowerCase();
  checkModelName(name);
  return name;
}

async function configOf(options: Td3Options, command: Command, runDirectory: string): Promise<Td3RunConfig> {
  const { offPolicyDefaults } = await import('../../trainer/train-td3.ts');
  const { readRunConfig } = await import('../../trainer/run/run-directory.ts');
  const { td3Defaults } = await import('../../trainer/algorithms/td3/config.ts');
  if (options.resume === true) {
    const given = runOptions.find((name) => command.getOptionValueSource(name) === 'cli');
    if (given !== undefined) {
      command.error(`error: expected --resume without settings of the run, got --${kebab(given)}. See --help`, {
        exitCode: 2,
      });
    }
    const config = readRunConfig<Td3RunConfig>(runDirectory);
    const loop = { ...config.loop, ...defined({ stepCount: options.steps }) };
    const isGiven = (name: keyof Td3Options) => command.getOptionValueSource(name) === 'cli';
    // A resumed run publishes as it was begun, but for what is given now.
    const publish = publishing({
      publish: isGiven('publish') ? options.publish : (config.publish?.which ?? 'none'),
      store: isGiven('store') ? options.store : (config.publish?.store ?? options.store),
      model: options.model ?? config.publish?.model ?? modelName(options),
    });
    return { ...config, loop, publish };
  }
  const critic = {
    architecture: options.critic,
    ...defined({ trunkSizes: options.trunk, dynamicHiddenSizes: options.dynamicHidden }),
  };
  return {
    environment: options.env,
    algorithm: {
      ...td3Defaults(critic),
      ...defined({
        batchSize: options.batchSize,
        actorLearningRate: options.actorLr,
        criticLearningRate: options.criticLr,
      }),
    },
    loop: {
      ...offPolicyDefaults,
      ...defined({
        stepCount: options.steps,
        warmUpStepCount: options.warmUp,
        seed: options.seed,
        evaluationInterval: options.evalEvery,
        evaluationEpisodeCount: options.evalEpisodes,
        checkpointInterval: options.checkpointEvery,
        replayCapacity: options.replayCapacity,
      }),
    },
    threadCount: options.threads ?? cpus().length,
    publish: publishing({ ...options, model: modelName(options) }),
    ...defined({ engine: options.engine, device: options.device }),
  };
}

const publishing = ({
  publish,
  store,
  model,
}: Pick<Td3Options, 'publish' | 'store'> & { model: string }): Td3RunConfig['publish'] =>
  publish === 'none' ? undefined : { store, model, which: publish };

const interrupts = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs with a signal that the first Ctrl-C, SIGTERM or closed terminal aborts; the second ends the process as usual. */
export async function untilInterrupted<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const abort = () => controller.abort();
  for (const name of interrupts) process.once(name, abort);
  try {
    return await run(controller.signal);
  } finally {
    for (const name of interrupts) process.off(name, abort);
  }
}

function printResult(result: TrainTd3Result, runDirectory: string, model: string | undefined): void {
  const { run, published, publishedBefore: before } = result;
  const last = run.evaluations.at(-1);
  printJson({
    runDirectory,
    step: run.step,
    evaluationReturn: last?.meanReturn,
    checkpoint: run.checkpoint,
    ...(before !== undefined && { model: before.model, version: before.version, directory: before.directory }),
    ...(published !== undefined && { model, version: published.version, directory: published.directory }),
  });
  if (run.aborted) {
    process.stderr.write(`Interrupted at step ${run.step}. Continue with: --run ${runDirectory} --resume\n`);
    return;
  }
  if (run.firstStep < run.step || run.firstStep === 0) return;
  // Nothing was trained.
  const done =
    before === undefined ? '' : ` It is published as version ${before.version} of "${before.model}" already.`;
  process.stderr.write(`The run is finished: it has its ${run.step} steps.${done} To go on, give more with --steps.\n`);
}

function parseWidths(text: string): number[] {
  const widths = text.split(',').map(Number);
  if (widths.every((width) => Number.isSafeInteger(width) && width > 0 && width <= 65_536)) return widths;
  throw new InvalidArgumentError('Expected widths of 1 to 65536 with commas between: 256,512,1024');
}

function parseRate(text: string): number {
  const rate = Number(text);
  if (Number.isFinite(rate) && rate > 0 && rate <= 1) return rate;
  throw new InvalidArgumentError('Expected a number above 0 and at most 1');
}

const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** The fields that are set. */
function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}
