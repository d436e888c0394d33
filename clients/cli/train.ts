/** `hyperpolicy train ALGORITHM`: trains in this process, with progress on standard error, and publishes the model. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import type { Algorithm } from '../../trainer/run/algorithm.ts';
import type { RunConfig } from '../../trainer/run/config.ts';
import type { TrainResult } from '../../trainer/train.ts';
import { resumeCommand } from './command-line.ts';
import { untilInterrupted } from './interrupts.ts';
import { printJson } from './options.ts';
import { addTrainOptions, givenOf, type TrainOptions } from './train-flags.ts';

/** Where run directories are, unless --run names one. */
const runs = 'runs';

/** @param args after the name: they say which algorithm to load; where they name none, the help needs them all */
export async function createCommand(name: string, args: readonly string[]): Promise<Command> {
  const { algorithmNames, loadAlgorithm } = await import('../../trainer/algorithms/registry.ts');
  const command = new Command(name).description(
    'Train a policy and a critic. Ctrl-C leaves a checkpoint that --resume continues.',
  );
  const asked = algorithmNames.filter((algorithm) => args.includes(algorithm));
  for (const algorithm of asked.length > 0 ? asked : algorithmNames) {
    command.addCommand(await algorithmCommand(await loadAlgorithm(algorithm)));
  }
  return command;
}

async function algorithmCommand(algorithm: Algorithm): Promise<Command> {
  const { flaglessSettings } = await import('../../trainer/run/given-settings.ts');
  const { shownFlags } = await import('../../trainer/run/shown-defaults.ts');
  const { publishChoices } = await import('../../trainer/run/config.ts');
  const command = new Command(algorithm.name).description(algorithm.description);
  const settings = { flags: shownFlags(algorithm), flagless: flaglessSettings(algorithm) };
  return addTrainOptions(command, { ...settings, publishChoices })
    .addHelpText(
      'after',
      `
Settings without a flag are set with --set or --config. Defaults are those without any other flag; --print-config shows every setting as it
is with those that are given.
Prints one line of JSON at the end; progress goes to standard error.

Examples:
${algorithm.examples.map((example) => `  ${example}`).join('\n')}`,
    )
    .action((options: TrainOptions) => train(algorithm, options, command));
}

async function train(algorithm: Algorithm, options: TrainOptions, command: Command): Promise<void> {
  const { config, runDirectory } = await configOf(algorithm, options, command);
  if (options.printConfig === true) {
    process.stdout.write(`${JSON.stringify(config, null, 2)}\n`);
    return;
  }
  const runner = await import('../../trainer/train.ts');
  const resume = resumeCommand(algorithm.name, runDirectory);
  const { singleUnit } = await import('../../trainer/run/progress.ts');
  const unit = singleUnit(algorithm.stepUnit);
  const result = await runTraining({ runDirectory, resume, unit }, (signal) =>
    runner.train({
      ...{ config, runDirectory, resume: options.resume, resumeCommand: resume, signal },
      stream: process.stderr,
      metricsPort:
        options.metricsPort === undefined ? undefined : { host: options.metricsHost, port: options.metricsPort },
    }),
  );
  printResult(result, { runDirectory, resume, model: config.publish?.model, unit });
  if (!result.run.aborted) return;
  const { tellInterrupted } = await import('../../trainer/run/parent-process.ts');
  tellInterrupted();
}

async function configOf(
  algorithm: Algorithm,
  options: TrainOptions,
  command: Command,
): Promise<{ readonly config: RunConfig; readonly runDirectory: string }> {
  const { defaultModelBase, isResumable, newConfig, resumedConfig, settingFlags } = await import(
    '../../trainer/run/given-settings.ts'
  );
  const { findRun, runName } = await import('../../trainer/run/run-names.ts');
  const given = givenOf(options, command, settingFlags(algorithm));
  if (options.resume !== true) {
    const config = newConfig(algorithm, given);
    return { config, runDirectory: options.run ?? join(runs, runName(config.publish.model, config.loop.seed)) };
  }
  const refused = [
    ...given.flags.filter((flag) => !isResumable(algorithm, flag)).map(({ flag }) => flag),
    ...(given.file === undefined ? [] : ['--config']),
  ];
  if (refused.length > 0) {
    const taken = settingFlags(algorithm).filter((flag) => isResumable(algorithm, flag));
    const names = taken.map(({ flag }) => flag.split(' ')[0]);
    const advice = `Leave ${refused.length === 1 ? 'it' : 'them'} out: the run has its own. Of the settings it takes ${names.join(', ')}`;
    const what = `error: expected --resume without settings of the run, got ${refused.join(', ')}`;
    command.error(`${what}. ${advice}. See --help`, { exitCode: 2 });
  }
  const runDirectory = options.run ?? findRun(runs, options.model ?? defaultModelBase(algorithm));
  return { config: resumedConfig(algorithm, runDirectory, given), runDirectory };
}

export type Resumable = {
  readonly runDirectory: string;
  /** The command that goes on with the run. */
  readonly resume: string;
  /** Of its steps, in the singular. */
  readonly unit: string;
};

/** Runs a training that interrupts end. */
export function runTraining<T>(
  { runDirectory, resume, unit }: Resumable,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return untilInterrupted(run, {
    tell: (line) => process.stderr.write(`${line}\n`),
    kept: () => {
      const step = newestCheckpoint(runDirectory);
      return step === undefined
        ? 'There is no checkpoint yet'
        : `The checkpoint of ${unit} ${step} is kept. Go on from it with: ${resume}`;
    },
  });
}

function newestCheckpoint(runDirectory: string): number | undefined {
  try {
    const steps = readdirSync(join(runDirectory, 'checkpoints')).filter((name) => /^\d+$/.test(name));
    return steps.length === 0 ? undefined : Math.max(...steps.map(Number));
  } catch {
    return undefined;
  }
}

function printResult(
  result: TrainResult,
  { runDirectory, resume, model, unit }: Resumable & { readonly model: string | undefined },
): void {
  const { run, published, publishedBefore: before } = result;
  printJson({
    runDirectory,
    step: run.step,
    ...(run.aborted && { interrupted: true }),
    ...run.results,
    ...(run.best !== undefined && { bestEvaluationReturn: run.best.meanReturn }),
    ...(published?.manifest.training.freshReturn !== undefined && {
      freshReturn: published.manifest.training.freshReturn,
    }),
    checkpoint: run.checkpoint,
    ...(before !== undefined && { model: before.model, version: before.version, directory: before.directory }),
    ...(published !== undefined && { model, version: published.version, directory: published.directory }),
  });
  if (run.aborted) {
    process.stderr.write(`Interrupted at ${unit} ${run.step}. Kept: ${run.checkpoint!}. Go on with: ${resume}\n`);
    return;
  }
  if (run.firstStep < run.step || run.firstStep === 0) return;
  // Nothing was trained.
  const done =
    before === undefined ? '' : ` It is published as version ${before.version} of "${before.model}" already.`;
  process.stderr.write(
    `The run is finished: it has its ${run.step} ${unit}s.${done} To go on, give more with --${unit}s.\n`,
  );
}
