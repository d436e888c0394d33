/** `hyperpolicy analyse noise RUN`: how far independent updates of a MAML run lie apart. */

import { Command } from 'commander';
import type { GradientNoise } from '../../trainer/analysis/gradient-noise.ts';
import { checkWritableFile, writeChecked } from './checks.ts';
import { integerIn, printJson } from './options.ts';
import { table } from './table.ts';

type NoiseOptions = {
  readonly step?: number;
  readonly updates: number;
  readonly seed?: number;
  readonly threads?: number;
  readonly out?: string;
};

export function createNoiseCommand(name: string): Command {
  return new Command(name)
    .description(
      'Measure the noise of the updates of a MAML run: independent one-step updates from the same parameters, the mean return of the ' +
        'test tasks after each, and how far these lie apart. Prints a table and, as its last line, JSON. The run is not changed.',
    )
    .argument('<run>', 'directory of a run of "hyperpolicy train maml"')
    .option(
      '--step <iterations>',
      'learner after so many iterations: one that train --keep-at kept, or a checkpoint; default: the newest checkpoint',
      integerIn(0, 2 ** 31 - 1),
    )
    .option('--updates <count>', 'independent updates, 2 to 10000', integerIn(2, 10_000), 50)
    .option(
      '--seed <number>',
      "seed of the study's tasks, starts and noise; default: that of the run + 300, which training did not use",
      integerIn(0, Number.MAX_SAFE_INTEGER - 1_000_000),
    )
    .option('--threads <count>', 'threads, 1 to 256; default: as many as the run had', integerIn(1, 256))
    .option('--out <file>', 'where to write the updates as CSV, one a line')
    .addHelpText(
      'after',
      `
Examples:
  hyperpolicy train maml --env HalfCheetah-Vel --iterations 450 --keep-at 50,150,300,450 --run runs/hyper
  hyperpolicy analyse noise runs/hyper --step 50 --out noise-50.csv`,
    )
    .action(analyse);
}

async function analyse(run: string, { step, updates, seed, threads, out }: NoiseOptions): Promise<void> {
  if (out !== undefined) checkWritableFile('--out', out);
  const { studyGradientNoise } = await import('../../trainer/analysis/gradient-noise.ts');
  const { createProgress } = await import('../../trainer/run/progress.ts');
  const progress = createProgress({ stream: process.stderr, label: run, stepCount: updates, unit: 'update' });
  const noise = await studyGradientNoise({
    ...{ runDirectory: run, step, updateCount: updates, seed, threadCount: threads, progress },
  }).finally(progress.finish);
  if (out !== undefined) writeChecked('--out', out, csvOf(noise));
  process.stderr.write(tableOf(noise));
  const { updates: list, ...rest } = noise;
  const refusedCount = list.filter(({ accepted }) => !accepted).length;
  printJson({ run, ...rest, updateCount: list.length, refusedCount, ...(out !== undefined && { csv: out }) });
}

const csvOf = ({ updates }: GradientNoise): string =>
  ['update,preReturn,postReturn,norm,kl,accepted']
    .concat(
      updates.map(({ preReturn, postReturn, norm, kl, accepted }, i) =>
        [i, preReturn, postReturn, norm, kl, Number(accepted)].join(','),
      ),
    )
    .map((line) => `${line}\n`)
    .join('');

/** Numbers as texts: a table would cut a coefficient of variation to three decimals. */
function tableOf({ start, preReturn, postReturn }: GradientNoise): string {
  const rows = [
    { title: 'before adaptation', without: start.preReturn, ...preReturn },
    { title: 'after adaptation', without: start.postReturn, ...postReturn },
  ];
  type Row = (typeof rows)[number];
  const column = (title: string, number: (row: Row) => number) => ({
    title,
    cell: (row: Row) => number(row).toPrecision(4),
  });
  return table<Row>(
    [
      { title: 'return', cell: ({ title }) => title },
      column('no update', ({ without }) => without),
      column('mean', ({ mean }) => mean),
      column('variance', ({ variance }) => variance),
      column('coefficient of variation', ({ coefficientOfVariation }) => coefficientOfVariation),
    ],
    rows,
  );
}
