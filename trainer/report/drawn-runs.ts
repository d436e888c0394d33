/** Which runs of a group its curve is of, and what a person is told of the others. */

import { basename } from 'node:path';
import { singleUnit } from '../run/progress.ts';
import { defaultMetric, labelOf, type RunGroup } from './groups.ts';
import { type Run, valuesOf } from './runs.ts';

/** The steps between which a run has the metric. */
type Span = { readonly run: Run; readonly begin: number; readonly end: number };

/** A run that is further than its curve by less than this share is not named: training episodes do not end at the same step. */
const untoldShare = 0.1;

/** @returns the group with the runs that have a part in the curve of this metric, which may be none; and lines about all others */
export function drawnRuns(group: RunGroup, metric: string): RunGroup & { readonly notes: readonly string[] } {
  const spans = group.runs.flatMap((run) => spanOf(run, metric));
  const drawn = longestTogether(spans);
  const runs = group.runs.filter((run) => drawn.some((span) => span.run === run));
  const missing = metric === defaultMetric ? 'no evaluation yet' : `no ${metric}`;
  const without = group.runs.filter((run) => spans.every((span) => span.run !== run));
  const leftOut = spans.filter((span) => !drawn.includes(span));
  const label = labelOf({ ...group, runs });
  const [end, unit] = [drawn.at(-1)?.end, unitOf(group.runs[0]!)];
  return {
    ...{ ...group, runs },
    notes: [
      ...without.map((run) => `${nameOf(run)} is in no curve: it has ${missing}`),
      ...leftOut.map((span) => `${placeOf(span)} is left out of the curve of ${label}, which reaches ${unit} ${end}`),
      ...shortened(label, drawn),
    ],
  };
}

function spanOf(run: Run, metric: string): Span[] {
  const values = valuesOf(run.records, metric);
  return values.length === 0 ? [] : [{ run, begin: values[0]!.step, end: values.at(-1)!.step }];
}

/**
 * A mean over fewer runs would jump where one ends, so a curve is of the same runs from its first step to its last: of those for which their
 * count times the steps that all of them have is largest, and of more runs where that is equal.
 * @returns the furthest first
 */
function longestTogether(spans: readonly Span[]): readonly Span[] {
  const furthestFirst = [...spans].sort((a, b) => b.end - a.end);
  const choices = furthestFirst.map((_, i) => furthestFirst.slice(0, i + 1));
  const sizes = choices.map((chosen) => {
    const begin = Math.max(...chosen.map((span) => span.begin));
    return chosen.length * (chosen.at(-1)!.end - begin);
  });
  return choices[sizes.lastIndexOf(Math.max(...sizes))] ?? [];
}

/** A line if a run that the curve is of is much further than the curve. @param drawn the furthest first */
function shortened(label: string, drawn: readonly Span[]): string[] {
  const last = drawn.at(-1);
  const further = drawn.filter(({ end }) => end - last!.end > untoldShare * end);
  if (last === undefined || further.length === 0) return [];
  return [
    `the curve of ${label} ends at ${unitOf(last.run)} ${last.end} with ${nameOf(last.run)}; further than that: ${further.map(placeOf).join(', ')}`,
  ];
}

/** What a run counts, in the singular. */
const unitOf = ({ stepUnit }: Run): string => singleUnit(stepUnit);

const nameOf = ({ directory }: Run): string => basename(directory);
const placeOf = ({ run, end }: Span): string => `${nameOf(run)} (at ${unitOf(run)} ${end})`;
