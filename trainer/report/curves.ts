/** From runs to learning curves: runs that differ in their seed alone are one curve, with mean and spread. */

import { invalidArgument } from '../../src/contract/errors.ts';
import { dotted } from '../run/complete-config.ts';
import type { Curve, CurvePoint, Panel } from '../seeing/curve-chart.ts';
import { environmentOf, type Run } from './runs.ts';
import { mean, standardDeviation } from './statistics.ts';

export const defaultMetric = 'evaluationReturn';

/** What a curve shows: a column of metrics.csv, and the one of its spread within a run, if there is one. */
type Shown = { readonly metric: string; readonly deviation?: string };

const evaluations: Shown = { metric: defaultMetric, deviation: 'evaluationStandardDeviation' };

/**
 * A panel for each environment, with a curve for each group of runs. Policies that adapt have two for the default metric: after
 * adaptation and before it.
 * @param metric a column of metrics.csv
 * @throws HyperpolicyError invalid_argument: no run has the metric
 */
export function curvePanels(runs: readonly Run[], metric = defaultMetric): Panel[] {
  const environments = [...new Set(runs.map(environmentOf))];
  const panels = environments.map((environment) =>
    panelOf(
      environment,
      runs.filter((run) => environmentOf(run) === environment),
      metric,
    ),
  );
  if (panels.some(({ curves }) => curves.some(({ points }) => points.length > 0))) return panels;
  const names = [...new Set(runs.flatMap(({ records }) => records.flatMap((record) => Object.keys(record))))];
  throw invalidArgument({
    where: '--metric',
    expected: `one of ${names.filter((name) => name !== 'step').join(', ')}`,
    actual: `"${metric}"`,
  });
}

function panelOf(environment: string, runs: readonly Run[], metric: string): Panel {
  const groups = groupRuns(runs);
  const curves = groups.flatMap((group) => curvesOf(group, metric));
  return {
    title: environment,
    subtitle: subtitleOf(groups, metric),
    stepTitle: [...new Set(runs.map(({ stepUnit }) => stepUnit))].join(' or '),
    valueTitle: metric === defaultMetric ? 'evaluation return' : metric,
    curves,
  };
}

function curvesOf({ label, runs }: RunGroup, metric: string): Curve[] {
  if (metric !== defaultMetric) return [{ label, points: pointsOf(runs, { metric }) }];
  const after = pointsOf(runs, evaluations);
  const { beforeAdaptation } = runs[0]!;
  const before = beforeAdaptation === undefined ? [] : pointsOf(runs, beforeAdaptation);
  if (before.length === 0) return [{ label, points: after }];
  return [
    { label, points: after, phase: 'after adaptation' },
    { label, points: before, phase: 'before adaptation' },
  ];
}

export type RunGroup = { readonly label: string; readonly runs: readonly Run[] };

/** Runs whose settings differ only in the seed, the machine and the publication. */
export function groupRuns(runs: readonly Run[]): RunGroup[] {
  const groups = new Map<string, Run[]>();
  for (const run of runs) {
    const key = JSON.stringify([...settingsOf(run)]);
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  const lists = [...groups.values()];
  return lists.map((list) => ({ label: labelOf(list, lists), runs: list }));
}

/** Algorithm and network; if groups share them, also the settings that differ. */
function labelOf(list: readonly Run[], groups: readonly (readonly Run[])[]): string {
  const [run] = list as [Run];
  const alike = groups.map(([first]) => first!).filter(({ name }) => name === run.name);
  const own = settingsOf(run);
  const differing = [...own].filter(([name, value]) => alike.some((other) => settingsOf(other).get(name) !== value));
  const isDistinct = alike.length === 1;
  const settings = isDistinct ? [] : differing.map(([name, value]) => `${name.split('.').at(-1)} ${value}`);
  return `${[run.name, ...settings].join(', ')} (${seedsText(list)})`;
}

/** A seed that was run twice is not two seeds. */
function seedsText(list: readonly Run[]): string {
  const { size } = new Set(list.map(({ seed }) => seed));
  const seeds = size === 1 ? `seed ${list[0]!.seed}` : `${size} seeds`;
  return size === list.length ? seeds : `${list.length} runs of ${seeds}`;
}

/** Every setting that decides a run's results, by its dotted name. The place and the way of running do not change a curve. */
export function settingsOf({ config }: Run): Map<string, string> {
  const { algorithm, environment, loop } = config;
  const { seed: _, collectorThreadCount: _threads, checkpointInterval: _checkpoints, ...rest } = loop;
  const settings = dotted({ environment, algorithm, loop: rest });
  return new Map(settings.map(([name, value]) => [name, String(value)]));
}

function subtitleOf(groups: readonly RunGroup[], metric: string): string {
  const hasSeeds = groups.some(({ runs }) => runs.length > 1);
  const hasSingle = groups.some(({ runs }) => runs.length === 1) && metric === defaultMetric;
  const bands = [
    ...(hasSeeds ? ['over the seeds'] : []),
    ...(hasSingle ? [`of the evaluation's returns${hasSeeds ? ' where there is one seed' : ''}`] : []),
  ];
  return bands.length === 0 ? '' : `mean and standard deviation ${bands.join(', ')}`;
}

function pointsOf(runs: readonly Run[], { metric, deviation }: Shown): CurvePoint[] {
  const curves = runs.map(({ records }) => valuesOf(records, metric)).filter((curve) => curve.length > 0);
  const [first] = curves;
  if (first === undefined) return [];
  if (curves.length === 1) {
    const records = runs.flatMap((run) => run.records);
    const spreads = deviation === undefined ? [] : valuesOf(records, deviation);
    const spreadAt = new Map(spreads.map(({ step, value }) => [step, value]));
    return first.map(({ step, value }) => ({ step, mean: value, spread: spreadAt.get(step) ?? 0 }));
  }
  // Where all of them are known: a mean of fewer runs would jump where one ends.
  const begin = Math.max(...curves.map((curve) => curve[0]!.step));
  const end = Math.min(...curves.map((curve) => curve.at(-1)!.step));
  const steps = [...new Set(curves.flatMap((curve) => curve.map(({ step }) => step)))].sort((a, b) => a - b);
  return steps
    .filter((step) => step >= begin && step <= end)
    .map((step) => {
      const values = curves.map((curve) => valueAt(curve, step));
      return { step, mean: mean(values), spread: standardDeviation(values) };
    });
}

type Point = { readonly step: number; readonly value: number };

const valuesOf = (records: Run['records'], metric: string): Point[] =>
  records.flatMap((record) => {
    const value = record[metric];
    return value !== undefined && Number.isFinite(value) ? [{ step: record.step, value }] : [];
  });

/** On the straight line between the two points around a step. */
function valueAt(curve: readonly Point[], step: number): number {
  const after = curve.find((point) => point.step >= step)!;
  const before = curve.findLast((point) => point.step <= step)!;
  if (after.step === before.step) return before.value;
  return before.value + ((after.value - before.value) * (step - before.step)) / (after.step - before.step);
}
