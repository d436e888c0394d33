/** `hyperpolicy plot RUN...`: learning curves of runs as SVG or PNG. */

import { writeFileSync } from 'node:fs';
import { extname } from 'node:path';
import { Command } from 'commander';
import { invalidArgument } from '../../src/contract/errors.ts';
import { checkWritableFile } from './checks.ts';
import { printJson } from './options.ts';

export function createCommand(name: string): Command {
  return new Command(name)
    .description(
      'Draw learning curves of runs. Runs that differ only in their seed are one curve: mean and standard deviation over the ' +
        'seeds. A single run shows the deviation over the episodes of an evaluation. A policy that adapts has a curve after adaptation and a broken one before it. ' +
        'Each environment has a panel. Prints one line of JSON.',
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
  const format = extname(out).toLowerCase();
  if (format !== '.svg' && format !== '.png') {
    throw invalidArgument({ where: '--out', expected: 'a file that ends in .svg or .png', actual: `"${out}"` });
  }
  checkWritableFile('--out', out);
  const { readRuns } = await import('../../trainer/report/runs.ts');
  const { curvePanels } = await import('../../trainer/report/curves.ts');
  const { curveChart } = await import('../../trainer/seeing/curve-chart.ts');
  const { drawPng, drawSvg } = await import('../../trainer/seeing/drawing.ts');
  const panels = curvePanels(await readRuns(paths), metric);
  const svg = await drawSvg(curveChart(panels));
  writeFileSync(out, format === '.png' ? await drawPng(svg) : svg);
  printJson({
    picture: out,
    curves: panels.flatMap(({ title, curves }) =>
      curves.map(({ label, phase }) => `${title}: ${[label, phase].filter((part) => part !== undefined).join(', ')}`),
    ),
  });
}
