/** Groups of runs that are one but for their seed, and their names. */

import { grouped } from '../../src/contract/grouped.ts';
import type { Run } from './runs.ts';

export const defaultMetric = 'evaluationReturn';

export type RunGroup = {
  /** Algorithm and network; if groups share them, also the settings that differ. */
  readonly name: string;
  readonly runs: readonly Run[];
};

/** Runs whose settings differ only in the seed, the length, the intervals, the machine and the publication. */
export function groupRuns(runs: readonly Run[]): RunGroup[] {
  const lists = [...grouped(runs, (run) => JSON.stringify([...sharedSettingsOf(run)].sort())).values()];
  return lists.map((list) => ({ name: groupName(list[0], lists), runs: list }));
}

function groupName(run: Run, groups: readonly (readonly Run[])[]): string {
  const alike = groups.map(([first]) => first!).filter(({ name }) => name === run.name);
  const own = sharedSettingsOf(run);
  const differing = [...own].filter(([name, value]) =>
    alike.some((other) => sharedSettingsOf(other).get(name) !== value),
  );
  const isDistinct = alike.length === 1;
  const settings = isDistinct ? [] : differing.map(([name, value]) => `${name.split('.').at(-1)} ${value}`);
  return [run.name, ...settings].join(', ');
}

/** The name with the seeds. */
export const labelOf = ({ name, runs }: RunGroup): string => `${name} (${seedsText(runs)})`;

/** A seed that was run twice is not two seeds. */
function seedsText(list: readonly Run[]): string {
  const { size } = new Set(list.map(({ seed }) => seed));
  const seeds = size === 1 ? `seed ${list[0]!.seed}` : `${size} seeds`;
  return size === list.length ? seeds : `${list.length} runs of ${seeds}`;
}

/** Every setting that decides a run's results, by its dotted name. The place and the way of running do not change a curve. */
export const settingsOf = ({ settings }: Run): Map<string, string> => textsWithout(settings, ways);

/** Those in which the runs of a group are equal. One that is longer, or evaluated elsewhere, has a part of the same curve. */
const sharedSettingsOf = ({ settings }: Run): Map<string, string> => textsWithout(settings, [...ways, ...extents]);

const ways = ['loop.seed', 'loop.collectorThreadCount', 'loop.checkpointInterval'];
const extents = ['loop.stepCount', 'loop.iterationCount', 'loop.evaluationInterval'];

const textsWithout = (settings: Run['settings'], names: readonly string[]): Map<string, string> =>
  new Map([...settings].flatMap(([name, value]) => (names.includes(name) ? [] : [[name, String(value)]])));
