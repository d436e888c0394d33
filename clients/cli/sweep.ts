/** `hyperpolicy sweep FILE`: trains a grid of settings, so many processes at a time, and prints one table; or prints it as a cluster's job. */

import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { cancelled, failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import { makeWritableFolder } from '../../src/files/folders.ts';
import type { Cell } from '../../trainer/sweep/cell.ts';
import type { CellEnd } from '../../trainer/sweep/run-cells.ts';
import { commandLine } from './command-line.ts';
import { untilInterrupted } from './interrupts.ts';
import { integerIn } from './options.ts';

type SweepOptions = {
  readonly processes?: number;
  readonly threads?: number;
  readonly cell?: number;
  readonly print?: 'cells' | 'summary' | 'slurm' | 'kubernetes';
};

export async function createCommand(name: string): Promise<Command> {
  const { threadCountMax } = await import('../../trainer/run/config.ts');
  return new Command(name)
    .description(
      'Train every combination of a grid, each in a process. The same command continues a sweep: it skips finished runs and resumes ' +
        'others. Prints a table over the seeds: mean and standard deviation of the last evaluations, and their interquartile mean ' +
        'with its 95% bootstrap interval.',
    )
    .argument('<file>', 'YAML or JSON: name, grid, settings, runs, store, publish')
    .option(
      '--processes <count>',
      'runs that train at the same time (default: one per core; a printed job leaves it to the cluster)',
      integerIn(1, 1024),
    )
    .option(
      '--threads <count>',
      'threads of a run, where the file has none (default: the cores divided by --processes; in a printed job as many as the cores ' +
        'that it asks for, 2). A run that goes on keeps those that it has',
      integerIn(1, threadCountMax),
    )
    .option('--cell <index>', 'train, or print, only this cell of the grid', integerIn(0, 9999))
    .addOption(
      new Option(
        '--print <what>',
        'train nothing; print the command of every cell, the table of finished runs, or a Slurm array or Kubernetes Indexed Job ' +
          'with one cell per index',
      ).choices(['cells', 'summary', 'slurm', 'kubernetes']),
    )
    .addHelpText(
      'after',
      `
A file, in whose grid and settings the names are flags of train:

  name: cheetah
  grid:
    algorithm: [td3, sac]
    critic: [mlp-standard, sa-hyper]
    env: [HalfCheetah-v5, Hopper-v5]
    seed: [0, 1, 2]
  settings: { steps: 1e5, threads: 1 }

Runs are in runs/NAME (runs: FOLDER changes that). store: FOLDER publishes every cell, and publish: best, last or every says which of
its policies, as --publish of train; models have the sweep's name before the run's.

Examples:
  hyperpolicy sweep cheetah.yaml --processes 2
  hyperpolicy sweep cheetah.yaml --print slurm > cheetah.sh`,
    )
    .action(sweep);
}

async function sweep(file: string, { processes, threads, cell, print }: SweepOptions): Promise<void> {
  const isJob = print === 'slurm' || print === 'kubernetes';
  if (cell !== undefined && print !== undefined && print !== 'cells') {
    const [expected, actual] = ['--print cells, or no --print', `--print ${print}`];
    throw invalidArgument({ where: '--cell', expected, actual, remedy: 'The others are of all cells' });
  }
  const processCount = processes ?? availableParallelism();
  const { readSweep } = await import('../../trainer/sweep/sweep-file.ts');
  const { jobCoreCount, kubernetesJob, slurmArray } = await import('../../trainer/sweep/jobs.ts');
  const read = await readSweep(file, threads ?? (isJob ? jobCoreCount : await threadsBeside(processCount)));
  if (threads !== undefined && read.givesThreads) {
    throw invalidArgument({
      where: '--threads',
      expected: 'a file without threads, or no --threads',
      actual: `${threads}, and threads in ${file}`,
      remedy: 'Change them in the file',
    });
  }
  const cells = cell === undefined ? read.cells : read.cells.slice(cell, cell + 1);
  if (cells.length === 0) {
    throw invalidArgument({ where: '--cell', expected: `0 to ${read.cells.length - 1}`, actual: String(cell) });
  }
  const tell = (line: string) => process.stderr.write(`${line}\n`);
  const checking = { path: file, cellCount: read.cells.length, tell };
  const { checkCells } = await import('../../trainer/sweep/check-cells.ts');
  if (isJob) {
    await checkCells(cells, { ...checking, runsElsewhere: true });
    process.stdout.write((print === 'slurm' ? slurmArray : kubernetesJob)(read, file, processes));
    return;
  }
  if (print !== undefined) {
    process.stdout.write(print === 'cells' ? commandsOf(cells) : await summaryOf(cells, tell));
    return;
  }
  const { isDone, outputOf, runCells } = await import('../../trainer/sweep/run-cells.ts');
  let endCount = 0;
  const note = ({ cell: { runDirectory }, how }: CellEnd) =>
    tell(`${++endCount}/${cells.length} ${runDirectory}: ${how}`);
  const command = [process.execPath, join(import.meta.dirname, 'main.js')];
  const run = async (signal: AbortSignal) => {
    const waiting = cells.filter((one) => !isDone(one));
    await checkCells(waiting, { ...checking, runsElsewhere: false, signal });
    makeWritableFolder(`runs ${read.runs}`, read.runs);
    return runCells(cells, { command, processCount, signal, note });
  };
  const kept = () => 'The newest checkpoints are kept; the same command goes on';
  const ends = await untilInterrupted(run, { tell, kept });
  if (cell === undefined) process.stdout.write(await summaryOf(cells, tell));
  const failed = ends.filter(({ how }) => how === 'failed');
  if (failed.length > 0) {
    throw failedPrecondition({
      where: `sweep ${read.name}`,
      expected: 'every training to end well',
      actual: `${failed.length} that failed`,
      remedy: `Their last lines are in ${failed.map((end) => outputOf(end.cell)).join(', ')}; the same command tries them again`,
    });
  }
  const interrupted = ends.filter(({ how }) => how === 'interrupted');
  if (interrupted.length > 0) {
    // An error, so that a cluster does not count the cell as done.
    throw cancelled({
      where: `sweep ${read.name}`,
      expected: 'every training to come to its end',
      actual: `${interrupted.length} that were interrupted`,
      remedy: 'The same command goes on',
    });
  }
}

/** Threads of each run, so that runs that train at the same time have the cores of this machine together. */
async function threadsBeside(processCount: number): Promise<number> {
  const { threadCountMax } = await import('../../trainer/run/config.ts');
  return Math.min(Math.max(1, Math.floor(availableParallelism() / processCount)), threadCountMax);
}

const commandsOf = (cells: readonly Cell[]): string =>
  cells.map(({ trainArguments }) => `${commandLine(['hyperpolicy', ...trainArguments])}\n`).join('');

async function summaryOf(cells: readonly Cell[], tell: (line: string) => void): Promise<string> {
  const { summarise, summaryTable } = await import('../../trainer/sweep/summary.ts');
  return summaryTable(summarise(cells, tell));
}
