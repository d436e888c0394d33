/** `hyperpolicy environments`: every environment by name with its sizes, and the tasks of those that have any. */

import { Command } from 'commander';
import type { Env } from '../../src/envs/env.ts';
import { printJson } from './options.ts';
import { type Column, table } from './table.ts';

type Range = readonly [low: number, high: number];

/** An environment as a line of the list. */
type Entry = {
  readonly name: string;
  readonly observationSize: number;
  readonly actionSize: number;
  /** Steps after which an episode is cut. */
  readonly stepCountMax: number;
  /** Simulated time of one step, seconds. */
  readonly stepDurationS: number;
  /** Values that tell its tasks apart; empty if there is one task. */
  readonly tasks: readonly {
    readonly name: string;
    readonly unit: string;
    readonly train: Range;
    readonly test: Range;
  }[];
};

export function createCommand(name: string): Command {
  return new Command(name)
    .description(
      'Every environment by name: values of an observation and of an action, most steps of an episode and their rate, and the ' +
        'range of each value that tells its tasks apart, in training and, if it differs, in tests. Those with tasks are for ' +
        'train maml, train pearl, and train td3 and sac with --policy context-mlp or hyper. --env also takes the path of ' +
        'an environment of your own, such as ./my-env.js.',
    )
    .option('--json', 'print one line of JSON per environment')
    .action(list);
}

async function list({ json }: { readonly json?: boolean }): Promise<void> {
  const { createEnvironment, environmentNames } = await import('../../src/envs/registry.ts');
  const entries: Entry[] = [];
  for (const name of environmentNames) {
    const environment = await createEnvironment(name);
    entries.push(entryOf(environment));
    environment.dispose();
  }
  if (json === true) entries.forEach(printJson);
  else process.stdout.write(table(columns, entries));
}

function entryOf({ name, specs, episodeStepCountMax, stepDurationS, tasks }: Env): Entry {
  return {
    name,
    observationSize: specs.observation.names.length,
    actionSize: specs.action.names.length,
    stepCountMax: episodeStepCountMax,
    stepDurationS,
    tasks: (tasks?.spec.names ?? []).map((value, i) => ({
      name: value,
      unit: tasks!.spec.units[i]!,
      train: tasks!.ranges.train[i]!,
      test: tasks!.ranges.test[i]!,
    })),
  };
}

/** More values than this are told by their number: the tasks of randomised bodies have dozens. */
const shownCountMax = 3;

const columns: readonly Column<Entry>[] = [
  { title: 'name', cell: ({ name }) => name },
  { title: 'observation', cell: ({ observationSize }) => observationSize },
  { title: 'action', cell: ({ actionSize }) => actionSize },
  { title: 'steps', cell: ({ stepCountMax }) => stepCountMax },
  { title: 'Hz', cell: ({ stepDurationS }) => Math.round(1 / stepDurationS) },
  { title: 'tasks', cell: ({ tasks }) => tasksText(tasks) },
];

function tasksText(tasks: Entry['tasks']): string {
  if (tasks.length > shownCountMax) return `${tasks.length} values: --json`;
  return tasks
    .map(({ name, unit, train, test }) => `${name} ${rangesText(train, test)}${unit === '1' ? '' : ` ${unit}`}`)
    .join(', ');
}

const rangesText = (train: Range, test: Range): string =>
  train.join() === test.join() ? rangeText(train) : `${rangeText(train)}, tests ${rangeText(test)}`;

const rangeText = ([low, high]: Range): string => `${low} to ${high}`;
