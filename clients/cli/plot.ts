/** `hyperpolicy plot RUN...`: learning curves of runs as SVG or PNG. */

import { Command } from 'commander';
import { printJson } from './options.ts';
import { checkFileEnding, pictureEndings, writePicture } from './picture-file.ts';

export function createCommand(name: string): Command {
  return new Command(name)
    .description(
      'Draw learning curves of runs. Runs that differ only in their seed are one curve: mean and standard deviation over the ' +
        'seeds. Their length, the steps between evaluations and checkpoints, the machine, and settings that change nothing may differ too. ' +
        "A single run shows the deviation of an evaluation's returns. Policies that adapt have a curve of the returns after " +
        'adaptation and a broken one of those before it. ' +
        'Each environment has a panel. Seeds that are far behind the others are left out of their curve, and named on standard error. ' +
        'Prints one line of JSON.',
    )
    .argument('<runs...>', 'run directories, or folders of run directories')
    .option('--out <file>', 'where to draw: .svg or .png', 'learning-curves.svg')
    .option('--metric <name>', 'what to draw: a column of metrics.csv', 'evaluationReturn')
    .addHelpText(
      'after',
      `
Examples:
  hyperpolicy plot runs/mlp-seed0 runs/mlp-seed1 runs/hyper-seed0 runs/hyper-seed1 --out curves.png
  hyperpolicy plot runs --metric episodeReturn`,
    )
    .action(plot);
}

async function plot(paths: string[], { out, metric }: { out: string; metric: string }): Promise<void> {
  checkFileEnding('--out', out, pictureEndings);
  const { readRuns } = await import('../../trainer/report/runs.ts');
  const { learningCurves } = await import('../../trainer/report/curves.ts');
  const tell = (line: string) => process.stderr.write(`${line}\n`);
  const { panels, notes } = learningCurves(await readRuns(paths, tell), metric);
  notes.forEach(tell);
  await writePicture('--out', out, panels);
  printJson({
    picture: out,
    curves: panels.flatMap(({ title, curves }) =>
      curves.map(({ label, phase }) => `${title}: ${[label, phase].filter((part) => part !== undefined).join(', ')}`),
    ),
  });
}
