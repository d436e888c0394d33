/** `hyperpolicy analyse gradients`: gradient accuracy of critics along the versions of models. */

import { extname } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { serverDefaults } from '../../server/config.ts';
import type { ReductionName } from '../../src/contract/words.ts';
import type { VersionAccuracy } from '../../trainer/analysis/gradient-study.ts';
import type { VersionChoice } from '../../trainer/analysis/model-versions.ts';
import { createModelsOption } from './analysed-versions.ts';
import { writeChecked } from './checks.ts';
import { integerIn, numberIn, parseRows, printJson } from './options.ts';
import { checkFileEnding, pictureEndings, writePicture } from './picture-file.ts';

type GradientsOptions = {
  readonly model: readonly VersionChoice[];
  readonly store: string;
  readonly env?: string;
  readonly states: number;
  readonly actions: number;
  readonly noise: number;
  readonly discount: number;
  readonly hold: number;
  readonly horizon?: number;
  readonly bootstrap?: boolean;
  readonly reduction: ReductionName;
  readonly thresholds: readonly number[];
  readonly seed: number;
  readonly out?: string;
  readonly picture?: string;
};

export function createGradientsCommand(name: string): Command {
  const count = integerIn(1, 1_000_000);
  return new Command(name)
    .description(
      "Compare a critic's action-gradient with one estimated from returns, at states that the policy reaches: the cosine similarity of " +
        'the two, its mean, and the fraction of states above thresholds. For each version a line of JSON, and one about all at the end.',
    )
    .addOption(createModelsOption())
    .option('--store <directory>', 'where they are published', serverDefaults.store)
    .option('--env <name>', "environment, also a file such as ./my-env.js; the model's unless given")
    .option('--states <count>', 'states, each of an episode of its own', count, 15)
    .option('--actions <count>', 'actions tried at each state; more than an action has values', count, 15)
    .option(
      '--noise <deviation>',
      "standard deviation of the tried actions around the policy's, in halves of their range",
      numberIn(Number.MIN_VALUE, 1000),
      0.3,
    )
    .option('--discount <factor>', 'of rewards; give the one that the critic was trained with', numberIn(0, 1), 0.99)
    .option('--hold <steps>', "steps for which a tried action is held; the authors' code has 3", count, 1)
    .option(
      '--horizon <steps>',
      "steps of a return (default: to the episode's end, or until rewards weigh less than 1e-4)",
      count,
    )
    .option(
      '--bootstrap',
      'add the value of the state where a return is cut, by the horizon or by the time limit, as the critics say',
    )
    .addOption(
      new Option(
        '--reduction <rule>',
        "which of twin critics' gradients: the first, which TD3's policy follows; the smaller (SAC); the mean",
      )
        .choices(['q1', 'min', 'mean'])
        .default('q1'),
    )
    .addOption(
      new Option('--thresholds <cosines>', 'cosines from -1 to 1: the fraction of states above each is given')
        .argParser(parseThresholds)
        .default([0, 0.25, 0.5], '0,0.25,0.5'),
    )
    .option('--seed <number>', 'of episodes, states and actions', integerIn(0, Number.MAX_SAFE_INTEGER), 0)
    .option('--out <file>', 'results as a file: .json, with the cosine of each state, or .csv')
    .option('--picture <file>', 'curves along the versions: .svg or .png')
    .addHelpText(
      'after',
      `
Train with --publish every, so that each evaluation has a version. Models of one critic named NAME-seed0, NAME-seed1 and so on are one
curve of the picture, with mean and spread over the seeds. The returns of one version are --states x --actions episodes.

Examples:
  hyperpolicy train td3 --env Hopper-v5 --critic sa-hyper --trunk 64 --publish every --model hyper
  hyperpolicy train td3 --env Hopper-v5 --critic mlp-standard --publish every --model mlp
  hyperpolicy analyse gradients --model hyper mlp --out gradients.csv --picture gradients.svg
  hyperpolicy analyse gradients --model hyper@10 --hold 3 --bootstrap`,
    )
    .action(analyse);
}

function parseThresholds(text: string): number[] {
  const [row, ...more] = parseRows(text);
  if (more.length > 0 || row!.some((value) => value < -1 || value > 1)) {
    throw new InvalidArgumentError('Expected one row of numbers from -1 to 1: 0,0.5');
  }
  return [...new Set(row)];
}

async function analyse(options: GradientsOptions): Promise<void> {
  const { model: choices, store, env, thresholds, out, picture } = options;
  if (out !== undefined) checkFileEnding('--out', out, ['.json', '.csv']);
  if (picture !== undefined) checkFileEnding('--picture', picture, pictureEndings);
  const { findVersions } = await import('../../trainer/analysis/model-versions.ts');
  const study = await import('../../trainer/analysis/gradient-study.ts');
  const { createProgress } = await import('../../trainer/run/progress.ts');
  const settings = {
    ...{ stateCount: options.states, actionCount: options.actions, noise: options.noise, seed: options.seed },
    ...{ discount: options.discount, holdStepCount: options.hold, horizon: options.horizon },
    ...{ bootstraps: options.bootstrap === true, reduction: options.reduction },
  };
  const versions = await findVersions(store, choices);
  const progress = createProgress({
    ...{ stream: process.stderr, label: 'gradients', unit: 'return' },
    stepCount: versions.length * settings.stateCount * settings.actionCount,
  });
  let returnCount = 0;
  const onReturn = () => progress.report(++returnCount);
  const records: VersionAccuracy[] = [];
  try {
    for await (const record of study.studyGradients({ versions, env, settings, thresholds, onReturn })) {
      records.push(record);
      const { cosines: _, fractionsAbove: _fractions, ...shown } = record;
      printJson({ ...shown, statesWithCosine: study.knownCount(record), fractionsAbove: named(record, thresholds) });
    }
  } finally {
    progress.finish();
    // Hours of returns are not lost if a later version fails.
    if (out !== undefined && records.length > 0)
      writeChecked('--out', out, fileText(out, records, study.accuracyTable(records, thresholds), options));
  }
  if (picture !== undefined) await writePicture('--picture', picture, study.accuracyPanels(records, thresholds));
  printJson({
    ...{ models: [...new Set(choices.map(({ model }) => model))], versions: records.length },
    ...{ states: settings.stateCount, actions: settings.actionCount },
    environmentSteps: records.reduce((sum, { environmentSteps }) => sum + environmentSteps, 0),
    ...(out !== undefined && { out }),
    ...(picture !== undefined && { picture }),
  });
}

/** Fractions by their threshold. */
const named = ({ fractionsAbove }: VersionAccuracy, thresholds: readonly number[]) =>
  Object.fromEntries(thresholds.map((threshold, i) => [threshold, fractionsAbove[i]]));

function fileText(path: string, records: readonly VersionAccuracy[], table: string, options: GradientsOptions): string {
  if (extname(path).toLowerCase() === '.csv') return table;
  const { model: _, store: _store, out: _out, picture: _picture, ...settings } = options;
  const versions = records.map((record) => ({ ...record, fractionsAbove: named(record, options.thresholds) }));
  return `${JSON.stringify({ settings, versions }, null, 2)}\n`;
}
