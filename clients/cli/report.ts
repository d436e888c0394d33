/** `hyperpolicy report RUN...`: one HTML page about some runs. */

import { Command } from 'commander';
import type { Run } from '../../trainer/report/runs.ts';
import { checkWritableFile, writeChecked } from './checks.ts';
import { resumeCommand } from './command-line.ts';
import { printJson } from './options.ts';

export function createCommand(name: string): Command {
  return new Command(name)
    .description(
      'Write one HTML page about runs: learning curves, returns (the best evaluation, the last one, fresh episodes), frames of an ' +
        'episode of each published policy (of one that adapts: before and after it does), settings, and every evaluation. The page needs ' +
        'no other file. Prints one line of JSON.',
    )
    .argument('<runs...>', 'run directories, or folders of run directories')
    .option('--out <file>', 'where to write', 'report.html')
    .action(report);
}

async function report(paths: string[], { out }: { out: string }): Promise<void> {
  checkWritableFile('--out', out);
  const { readRuns } = await import('../../trainer/report/runs.ts');
  const { reportPage } = await import('../../trainer/report/report.ts');
  const tell = (line: string) => process.stderr.write(`${line}\n`);
  const runs = await readRuns(paths, tell);
  const note = (run: string) => process.stderr.isTTY && tell(`an episode of ${run}`);
  const publishCommand = ({ config, directory }: Run) =>
    resumeCommand(String(config.algorithm.name), directory, ['--publish', 'best']);
  writeChecked('--out', out, await reportPage(runs, { note, tell, publishCommand }));
  printJson({ page: out, runs: runs.length });
}
