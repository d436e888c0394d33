/** From runs to learning curves: runs that differ in their seed alone are one curve, with mean and spread. */

import { failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import { stepTitle } from '../run/learning-curve.ts';
import type { Curve, CurvePoint, Panel } from '../seeing/curve-chart.ts';
import { drawnRuns } from './drawn-runs.ts';
import { defaultMetric, groupRuns, labelOf, type RunGroup } from './groups.ts';
import { environmentOf, type Point, type Run, valuesOf } from './runs.ts';
import { mean, standardDeviation } from './statistics.ts';

/** What a curve shows: a column of metrics.csv, and the one of its spread within a run, if there is one. */
type Shown = { readonly metric: string; readonly deviation?: string };

const evaluations: Shown = { metric: defaultMetric, deviation: 'evaluationStandardDeviation' };

/** What a picture shows of runs, and what it does not. */
export type LearningCurves = {
  /** One an environment. */
  readonly panels: readonly Panel[];
  /** A line for each run that is in no curve, and for each curve that ends well before one of its runs. */
  readonly notes: readonly string[];
};

/**
 * A panel for each environment, with a curve for each group of runs. Policies that adapt have two for the default metric: after
 * adaptation and before it.
 * @param metric a column of metrics.csv
 * @throws HyperpolicyError failed_precondition: no run has an evaluation, or any metric, yet; invalid_argument: no run has the metric
 */
export function learningCurves(runs: readonly Run[], metric = defaultMetric): LearningCurves {
  const panels: Panel[] = [];
  const notes: string[] = [];
  for (const environment of new Set(runs.map(environmentOf))) {
    const groups = groupRuns(runs.filter((run) => environmentOf(run) === environment));
    const drawn = groups.map((group) => drawnRuns(group, metric));
    notes.push(...drawn.flatMap((group) => group.notes));
    const some = drawn.filter((group) => group.runs.length > 0);
    if (some.length > 0) panels.push(panelOf(environment, some, metric));
  }
  if (panels.length === 0) throw nothingToDraw(runs, metric);
  return { panels, notes };
}

function nothingToDraw(runs: readonly Run[], metric: string) {
  const names = new Set(runs.flatMap(({ records }) => records.flatMap((record) => Object.keys(record))));
  names.delete('step');
  if (metric !== defaultMetric && names.size > 0) {
    return invalidArgument({ where: '--metric', expected: `one of ${[...names].join(', ')}`, actual: `"${metric}"` });
  }
  return failedPrecondition({
    where: `learning curves of ${runs.length === 1 ? 'a run' : `${runs.length} runs`}`,
    expected: 'at least one evaluation',
    actual: 'none: no run has an evaluation yet',
    remedy: 'A run has its first one before its first step',
  });
}

function panelOf(environment: string, groups: readonly RunGroup[], metric: string): Panel {
  return {
    title: environment,
    subtitle: subtitleOf(groups, metric),
    stepTitle: [...new Set(groups.flatMap(({ runs }) => runs.map(({ stepUnit }) => stepTitle(stepUnit))))].join(' or '),
    valueTitle: metric === defaultMetric ? 'evaluation return' : metric,
    curves: groups.flatMap((group) => curvesOf(group, metric)),
  };
}

function curvesOf(group: RunGroup, metric: string): Curve[] {
  const label = labelOf(group);
  const { runs } = group;
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
  // Where all of them are known.
  const begin = Math.max(...curves.map((curve) => curve[0]!.step));
  const end = Math.min(...curves.map((curve) => curve.at(-1)!.step));
  const steps = [...new Set(curves.flatMap((curve) => curve.map(({ step }) => step)))].sort((a, b) => a - b);
  const valuesAt = curves.map(reader);
  return steps
    .filter((step) => step >= begin && step <= end)
    .map((step) => {
      const values = valuesAt.map((valueAt) => valueAt(step));
      return { step, mean: mean(values), spread: standardDeviation(values) };
    });
}

/**
 * Walks along a curve once: a run has thousands of training episodes.
 * @returns the value on the straight line between the two points around a step; each step that is asked for is later than the one before
 */
function reader(curve: readonly Point[]): (step: number) => number {
  let at = 0;
  return (step) => {
    while (at + 1 < curve.length && curve[at + 1]!.step <= step) at++;
    const [before, after] = [curve[at]!, curve[at + 1]];
    if (before.step === step || after === undefined) return before.value;
    return before.value + ((after.value - before.value) * (step - before.step)) / (after.step - before.step);
  };
}
