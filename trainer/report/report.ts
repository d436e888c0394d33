/** One HTML page about some runs: curves, what to expect of each, frames of an episode, evaluations, settings. */

import { basename } from 'node:path';
import type { ModelPackage } from '../../src/package/package.ts';
import { warmUpOf } from '../run/config.ts';
import { stepTitle } from '../run/learning-curve.ts';
import { returnDecimalCount } from '../run/return-text.ts';
import { curveChart } from '../seeing/curve-chart.ts';
import { drawSvg } from '../seeing/drawing.ts';
import { learningCurves } from './curves.ts';
import { episodeFrames, type Frames } from './frames.ts';
import { groupRuns, labelOf, settingsOf } from './groups.ts';
import { html, page, type Row, table } from './page.ts';
import { environmentOf, isOver, publishedModel, type Run } from './runs.ts';

/** A run with its data for the page. */
type Reported = {
  readonly run: Run;
  readonly name: string;
  readonly published: ModelPackage | undefined;
  /** Why nothing is there that was published. */
  readonly unpublished: string;
  readonly evaluations: readonly Evaluation[];
};

/** Returns of a policy that adapts are those after it did. */
type Evaluation = {
  readonly step: number;
  readonly mean: number;
  readonly deviation: number;
  /** Of a policy that adapts. */
  readonly beforeMean: number | undefined;
  readonly beforeDeviation: number | undefined;
  /** On tasks beyond the training range, where the environment has such. */
  readonly outOfRangeMean: number | undefined;
  readonly outOfRangeDeviation: number | undefined;
};

/**
 * @param options.note told before each run whose episode is drawn: that takes seconds
 * @param options.tell shows a line about what the curves leave out; the page says so too
 * @param options.publishCommand publishes what a run that is over has learnt; the page names it where there is nothing
 * @returns the text of the page, which needs nothing beside it
 */
export async function reportPage(
  runs: readonly Run[],
  {
    note = () => {},
    tell = () => {},
    publishCommand,
  }: {
    readonly note?: (name: string) => void;
    readonly tell?: (line: string) => void;
    readonly publishCommand?: (run: Run) => string;
  } = {},
): Promise<string> {
  const reported: Reported[] = [];
  for (const run of runs) {
    const name = basename(run.directory);
    const found = await publishedModel(run);
    const [published, unpublished] = 'none' in found ? [undefined, found.none] : [found, ''];
    reported.push({ run, name, published, unpublished, evaluations: evaluationsOf(run) });
  }
  const environments = [...new Set(runs.map(environmentOf))].join(', ');
  const { panels, notes } = learningCurves(runs);
  notes.forEach(tell);
  const curves = await drawSvg(curveChart(panels));
  const frames: string[] = [];
  for (const one of reported) {
    note(one.name);
    frames.push(await framesOf(one, publishCommand));
  }
  return page(`Training on ${environments}`, [
    { title: 'Learning curves', body: `<figure>${curves}</figure>${notes.map(noteOf).join('')}` },
    { title: 'Returns', body: `${returnsTable(reported)}${returnsNote}` },
    { title: 'Episodes of the published policies', body: frames.join('') },
    { title: 'Settings', body: settingsTable(runs) },
    { title: 'Evaluations', body: reported.map(evaluationsTable).join('') },
  ]);
}

const noteOf = (line: string): string => `<p class="note">${html(line)}.</p>`;

const returnsNote =
  '<p class="note">Mean and standard deviation of the episodes, of MAML and PEARL of the means of the tasks. The best evaluation is the best of many, so it is too high; ' +
  'where it chose the published policy, that is marked. Fresh episodes chose nothing: they tell what to expect. ' +
  'Those of policies that adapt are after adaptation.</p>';

function returnsTable(reported: readonly Reported[]): string {
  const rows = reported.map(({ run, name, published, evaluations }): Row => {
    const { bestEvaluationReturn, freshReturn, freshStandardDeviation, freshEpisodeCount } =
      published?.manifest.training ?? {};
    return [
      name,
      run.name,
      String(run.seed),
      bestText(choicesOf(run, published, evaluations), bestEvaluationReturn),
      lastText(evaluations.at(-1)),
      freshReturn === undefined
        ? 'none'
        : `${returnText(freshReturn, freshStandardDeviation ?? 0)}, ${freshEpisodeCount} episodes`,
      published === undefined ? 'none' : `${published.manifest.model} version ${published.manifest.version}`,
    ];
  });
  const head = ['run', 'algorithm', 'seed', 'best evaluation', 'last evaluation', 'fresh episodes', 'published'];
  return table(head, rows);
}

/** Evaluations that can choose a policy: those after the warm-up; where one of them chose the published one, until that was published. */
function choicesOf({ config }: Run, published: Reported['published'], all: readonly Evaluation[]): Evaluation[] {
  const { bestEvaluationReturn: chosen, evaluations } = published?.manifest.training ?? {};
  const last = chosen === undefined ? Infinity : (evaluations?.at(-1)?.step ?? 0);
  const warmUp = warmUpOf(config.loop);
  return all.filter(({ step }) => step > warmUp && step <= last);
}

/** @param chosen mean return of the evaluation that chose the published policy */
function bestText(choices: readonly Evaluation[], chosen: number | undefined): string {
  if (choices.length === 0) return 'none after the warm-up';
  const highest = Math.max(...choices.map((one) => one.mean).filter(Number.isFinite));
  const best = choices.findLast((one) => one.mean === (chosen ?? highest));
  if (best === undefined) return 'none';
  const mark = chosen === undefined ? '' : ' (chose the published policy)';
  return `${returnText(best.mean, best.deviation)} at ${count(best.step)}, best of ${choices.length}${mark}`;
}

const lastText = (last: Evaluation | undefined): string =>
  last === undefined ? 'none' : `${returnText(last.mean, last.deviation)} at ${count(last.step)}`;

async function framesOf(
  { run, name, published, unpublished }: Reported,
  publishCommand: ((run: Run) => string) | undefined,
): Promise<string> {
  if (published === undefined) {
    const remedy =
      publishCommand !== undefined && isOver(run) ? `. To publish what it has learnt: ${publishCommand(run)}` : '';
    return noPictures(name, `${unpublished}${remedy}`);
  }
  const frames = await episodeFrames(run, published);
  if ('none' in frames) return noPictures(name, frames.none);
  return frames.map((one) => figureOf(name, one)).join('');
}

const noPictures = (name: string, why: string): string => `<p>${html(name)}: no pictures (${html(why)}).</p>`;

function figureOf(name: string, { png, phase, episodeReturn, stepCount, task }: Frames): string {
  const episode = phase === undefined ? name : `${name}, ${phase}`;
  const values = Object.entries(task).map(([value, number]) => `${value} ${number.toPrecision(3)}`);
  const posed = values.length === 0 ? '' : `; task: ${values.join(', ')}`;
  const caption = `${episode}: return ${returnText(episodeReturn)} in ${count(stepCount)} steps${posed}`;
  const source = `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
  const text = html(`Six frames of an episode of ${episode}`);
  return `<figure><img src="${source}" alt="${text}"><figcaption>${html(caption)}</figcaption></figure>`;
}

/** A column for each group of runs, whose length may differ among them; settings that differ are marked. */
function settingsTable(runs: readonly Run[]): string {
  const groups = groupRuns(runs);
  const columns = groups.map((group) => group.runs.map(settingsOf));
  const names = [...new Set(columns.flat().flatMap((settings) => [...settings.keys()]))];
  const rows = names.map((name): Row => {
    const values = columns.map((column) => [...new Set(column.map((one) => one.get(name) ?? '–'))].join(' or '));
    return { cells: [name, ...values], isMarked: new Set(values).size > 1 };
  });
  return table(['setting', ...groups.map(labelOf)], rows);
}

/** Columns that the run has. */
function evaluationsTable({ run, name, evaluations }: Reported): string {
  const phase = evaluations.some(({ beforeMean }) => beforeMean !== undefined) ? ' after adaptation' : '';
  const all: readonly (readonly [head: string, column: Exclude<keyof Evaluation, 'step'>])[] = [
    ['mean return before adaptation', 'beforeMean'],
    ['standard deviation', 'beforeDeviation'],
    [`mean return${phase}`, 'mean'],
    ['standard deviation', 'deviation'],
    [`mean return${phase} on tasks out of the training range`, 'outOfRangeMean'],
    ['standard deviation', 'outOfRangeDeviation'],
  ];
  const columns = all.filter(([, column]) => evaluations.some((one) => one[column] !== undefined));
  const returns = evaluations.flatMap((one) => columns.flatMap(([, column]) => one[column] ?? []));
  const decimalCount = returnDecimalCount(returns);
  const rows = evaluations.map(
    (one): Row => [
      count(one.step),
      ...columns.map(([, column]) => (one[column] === undefined ? '' : decimal(one[column], decimalCount))),
    ],
  );
  const head = [stepTitle(run.stepUnit), ...columns.map(([title]) => title)];
  return `<details><summary>${html(name)} (${evaluations.length})</summary>${table(head, rows)}</details>`;
}

const evaluationsOf = ({ records, beforeAdaptation }: Run): Evaluation[] =>
  records.flatMap((record): Evaluation[] => {
    const { step, evaluationReturn: mean, evaluationStandardDeviation: deviation = 0 } = record;
    if (mean === undefined) return [];
    return [
      {
        ...{ step, mean, deviation },
        beforeMean: beforeAdaptation && record[beforeAdaptation.metric],
        beforeDeviation: beforeAdaptation && record[beforeAdaptation.deviation],
        outOfRangeMean: record.outOfRangeReturn,
        outOfRangeDeviation: record.outOfRangeStandardDeviation,
      },
    ];
  });

/** @param decimalCount of the values beside it too */
const decimal = (value: number, decimalCount: number): string =>
  value.toLocaleString('en-US', { minimumFractionDigits: decimalCount, maximumFractionDigits: decimalCount });
const count = (value: number): string => value.toLocaleString('en-US');
function returnText(...values: readonly [mean: number, deviation?: number]): string {
  const numbers = values.filter((value) => value !== undefined);
  const decimalCount = returnDecimalCount(numbers);
  return numbers.map((value) => decimal(value, decimalCount)).join(' ± ');
}
