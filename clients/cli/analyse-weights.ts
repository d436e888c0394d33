/** `hyperpolicy analyse weights`: distributions of generated weights beside those of a plain network. */

import { extname } from 'node:path';
import { Command, Option } from 'commander';
import { serverDefaults } from '../../server/config.ts';
import type { VersionChoice } from '../../trainer/analysis/model-versions.ts';
import type { ComparedPart, VersionWeights, WeightPart, WeightStudy } from '../../trainer/analysis/weight-study.ts';
import { createModelsOption, parseVersion } from './analysed-versions.ts';
import { writeChecked } from './checks.ts';
import { integerIn, printJson } from './options.ts';
import { checkFileEnding, pictureEndings, writePicture } from './picture-file.ts';

type WeightsOptions = {
  readonly model: readonly VersionChoice[];
  readonly against: VersionChoice;
  readonly store: string;
  readonly env?: string;
  readonly network?: 'critic' | 'policy';
  readonly inputs: number;
  readonly bins: number;
  readonly seed: number;
  readonly out?: string;
  readonly picture?: string;
};

export function createWeightsCommand(name: string): Command {
  return new Command(name)
    .description(
      'Histograms of the weights that a primary generates, layer by layer, beside those of a plain network, and the total-variation ' +
        'distance of the two over the same bins. For each version a line of JSON, and one about all at the end.',
    )
    .addOption(createModelsOption())
    .requiredOption(
      '--against <name>',
      'the model with the plain network, such as an mlp-small critic; its newest version, or @3',
      parseVersion,
    )
    .option('--store <directory>', 'where they are published', serverDefaults.store)
    .option('--env <name>', "environment, also a file such as ./my-env.js; the model's unless given")
    .addOption(
      new Option(
        '--network <name>',
        'which network (default: the critic if a primary generates its weights, else the policy)',
      ).choices(['critic', 'policy']),
    )
    .option(
      '--inputs <count>',
      'weights are generated for so many: states that the policy reaches (critic), training tasks (policy)',
      integerIn(1, 10_000),
      50,
    )
    .option(
      '--bins <count>',
      'bins from the smallest to the largest value of a version and the plain network',
      integerIn(1, 100_000),
      100,
    )
    .option('--seed <number>', 'of the states or tasks', integerIn(0, Number.MAX_SAFE_INTEGER), 0)
    .option('--out <file>', 'the histograms as a file: .json or .csv')
    .option('--picture <file>', 'curves of the weights around those of the plain network: .svg or .png')
    .addHelpText(
      'after',
      `
The start of training is a run of one step, which publishes the initial weights.

Examples:
  hyperpolicy train td3 --critic sa-hyper --warm-up 1 --steps 1 --publish last --model start
  hyperpolicy train td3 --critic sa-hyper --steps 1e5 --publish last --model later
  hyperpolicy train td3 --critic mlp-small --steps 1e5 --publish last --model small
  hyperpolicy analyse weights --model start later --against small --out weights.csv --picture weights.svg`,
    )
    .action(analyse);
}

async function analyse(options: WeightsOptions): Promise<void> {
  const { model: choices, against: plainChoice, store, env, network, out, picture } = options;
  if (out !== undefined) checkFileEnding('--out', out, ['.json', '.csv']);
  if (picture !== undefined) checkFileEnding('--picture', picture, pictureEndings);
  const { findVersions } = await import('../../trainer/analysis/model-versions.ts');
  const { studyWeights, weightPanels, weightTable } = await import('../../trainer/analysis/weight-study.ts');
  const { createProgress } = await import('../../trainer/run/progress.ts');
  const versions = await findVersions(store, choices);
  const against = (await findVersions(store, [plainChoice])).at(-1)!;
  const stepCount = versions.length;
  const progress = createProgress({ stream: process.stderr, label: 'weights', stepCount, unit: 'version' });
  let versionCount = 0;
  const study = await studyWeights({
    ...{ versions, against, env, network, seed: options.seed },
    ...{ inputCount: options.inputs, binCount: options.bins },
    onVersion: () => progress.report(++versionCount),
  }).finally(progress.finish);
  for (const one of [...study.generated, study.plain]) printJson(withoutHistograms(one));
  if (out !== undefined)
    writeChecked('--out', out, extname(out).toLowerCase() === '.csv' ? weightTable(study) : jsonOf(study, options));
  if (picture !== undefined) await writePicture('--picture', picture, weightPanels(study));
  printJson({
    ...{ models: [...new Set(choices.map(({ model }) => model))], against: against.model, versions: versions.length },
    ...{ inputs: options.inputs, bins: options.bins },
    ...(out !== undefined && { out }),
    ...(picture !== undefined && { picture }),
  });
}

const withoutHistograms = ({ parts, ...head }: VersionWeights<WeightPart | ComparedPart>) => ({
  ...head,
  parts: parts.map(({ layer, part, count, mean, standardDeviation, ...more }) => ({
    ...{ layer, part, count, mean, standardDeviation },
    ...('totalVariation' in more && { totalVariation: more.totalVariation }),
  })),
});

function jsonOf({ generated, plain }: WeightStudy, { env, inputs, seed }: WeightsOptions): string {
  return `${JSON.stringify({ settings: { env, inputs, seed }, generated, plain }, null, 2)}\n`;
}
