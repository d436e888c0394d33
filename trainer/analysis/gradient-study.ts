/** Gradient accuracy along versions: of a run that published one at each evaluation, how it goes along training. As records, a table, a chart. */

import { grouped } from '../../src/contract/grouped.ts';
import type { Env } from '../../src/envs/env.ts';
import { createModelEnvironment } from '../../src/envs/model-environment.ts';
import { trainedIn } from '../../src/package/manifest.ts';
import { readPackage } from '../../src/package/package.ts';
import { mean, standardDeviation } from '../report/statistics.ts';
import { createPackagePolicy } from '../rollout/policy.ts';
import type { CurvePoint, Panel } from '../seeing/curve-chart.ts';
import { type AccuracySettings, gradientAccuracy } from './gradient-accuracy.ts';
import type { ModelVersion } from './model-versions.ts';
import { createPackageCritic } from './package-critic.ts';
import { stepUnitOf } from './step-unit.ts';

export type StudyOptions = {
  readonly versions: readonly ModelVersion[];
  /** In place of the one that each version names: a name or a path. */
  readonly env?: string | undefined;
  readonly settings: AccuracySettings;
  /** Of cosines: the share of states above each is told. */
  readonly thresholds: readonly number[];
  /** Told when one of a version's returns is known. */
  readonly onReturn?: (() => void) | undefined;
};

export type VersionAccuracy = {
  readonly model: string;
  readonly version: number;
  readonly environment: string;
  /** Of the critic. */
  readonly architecture: string;
  /** Of the training, in its unit. */
  readonly step: number;
  /** What the step counts, in the plural. */
  readonly stepUnit: string;
  /** By state: see `Accuracy`. */
  readonly cosines: readonly (number | null)[];
  /** Of these that have a cosine; null if none has. */
  readonly meanCosine: number | null;
  /** sqrt(mean (cosine - mean)^2) over states. */
  readonly standardDeviation: number | null;
  /** By threshold, as in the options. */
  readonly fractionsAbove: readonly (number | null)[];
  /** Steps of the environment that the analysis took. */
  readonly environmentSteps: number;
};

/**
 * Analyses the versions one after the other, with the same starts, draws and noise for each.
 * @throws HyperpolicyError failed_precondition: no critic or policy in a package, another environment's specs, or a policy that adapts and
 *   does not read the task; as createModelEnvironment, readPackage and gradientAccuracy
 */
export async function* studyGradients(options: StudyOptions): AsyncGenerator<VersionAccuracy> {
  const { versions, env: own, settings, thresholds, onReturn } = options;
  const environments = new Map<string, Env>();
  try {
    for (const { model, version, directory } of versions) {
      const content = await readPackage(directory);
      const { critic: criticEntry, training } = content.manifest;
      const trained = trainedIn(content.manifest);
      const place = JSON.stringify([trained.environment, trained.taskRange]);
      const env = environments.get(place) ?? (await createModelEnvironment(trained, { own, where: 'analyse' }));
      environments.set(place, env);
      const critic = createPackageCritic(content);
      try {
        const policy = createPackagePolicy(content, { specs: env.specs, threadCount: 1 });
        try {
          const studied = { env, policy, critic, ...(onReturn !== undefined && { onReturn }) };
          const { cosines, stepCount } = gradientAccuracy(studied, settings);
          yield {
            ...{ model, version, environment: env.name, architecture: criticEntry!.architecture },
            ...{
              step: training.steps,
              stepUnit: await stepUnitOf(content.manifest),
              cosines,
              ...summaryOf(cosines, thresholds),
              environmentSteps: stepCount,
            },
          };
        } finally {
          policy.dispose();
        }
      } finally {
        critic.dispose();
      }
    }
  } finally {
    for (const env of environments.values()) env.dispose();
  }
}

function summaryOf(cosines: readonly (number | null)[], thresholds: readonly number[]) {
  const known = cosines.filter((cosine) => cosine !== null);
  const meanOf = (values: readonly number[]) => (values.length === 0 ? null : mean(values));
  const meanCosine = meanOf(known);
  const variance = meanOf(known.map((cosine) => (cosine - meanCosine!) ** 2));
  return {
    meanCosine,
    standardDeviation: variance === null ? null : Math.sqrt(variance),
    fractionsAbove: thresholds.map((threshold) => meanOf(known.map((cosine) => Number(cosine > threshold)))),
  };
}

/** A line for each version; cells of what is not known are empty. */
export function accuracyTable(records: readonly VersionAccuracy[], thresholds: readonly number[]): string {
  const head = [
    ...['model', 'version', 'step', 'environment', 'critic', 'statesWithCosine', 'meanCosine', 'standardDeviation'],
    ...thresholds.map((threshold) => `fractionAbove${threshold}`),
  ];
  const lines = records.map((record) => [
    ...[record.model, record.version, record.step, quoted(record.environment), record.architecture],
    ...[knownCount(record), record.meanCosine, record.standardDeviation, ...record.fractionsAbove],
  ]);
  return [head, ...lines].map((cells) => `${cells.map((cell) => cell ?? '').join(',')}\n`).join('');
}

export const knownCount = ({ cosines }: Pick<VersionAccuracy, 'cosines'>): number =>
  cosines.filter((cosine) => cosine !== null).length;

/** As RFC 4180 asks of cells with commas and quotes; an environment file may have any name. */
const quoted = (text: string): string => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/**
 * A panel of the mean cosine and one for each threshold, with a curve for each model. Models of one architecture whose names differ in their
 * ending alone, `-seed0`, `-seed1` and so on, are seeds of one curve.
 */
export function accuracyPanels(records: readonly VersionAccuracy[], thresholds: readonly number[]): Panel[] {
  const models = [...grouped(records, ({ model }) => model).values()];
  const byStep = models.every((own) => new Set(own.map(({ step }) => step)).size === own.length);
  const series = [...grouped(models, ([first]) => seriesOf(first)).values()];
  const units = [...new Set(records.map(({ stepUnit }) => stepUnit))].join(' or ');
  const placeOf = ({ step, version }: VersionAccuracy) => (byStep ? step : version);
  const panel = (
    head: Pick<Panel, 'title' | 'subtitle' | 'valueTitle' | 'valueRange'>,
    value: (record: VersionAccuracy) => Value,
  ): Panel => ({
    ...head,
    stepTitle: byStep ? `training ${units}` : 'version',
    curves: series.map((seeds) => ({ label: labelOf(seeds), points: pointsOf(seeds, placeOf, value) })),
  });
  const environments = [...new Set(records.map(({ environment }) => environment))].join(', ');
  const hasSeeds = series.some((seeds) => seeds.length > 1);
  const spread = hasSeeds ? 'the seeds, or over states where there is one seed' : 'states';
  return [
    panel(
      {
        title: `Gradient accuracy on ${environments}`,
        subtitle: `mean and standard deviation over ${spread}`,
        valueTitle: 'cosine similarity',
        valueRange: [-1, 1],
      },
      ({ meanCosine, standardDeviation }) => [meanCosine, standardDeviation],
    ),
    ...thresholds.map((threshold, i) =>
      panel(
        { title: `Cosine above ${threshold}`, subtitle: '', valueTitle: 'fraction of states', valueRange: [0, 1] },
        ({ fractionsAbove }) => [fractionsAbove[i]!, 0],
      ),
    ),
  ];
}

const seedEnding = /-seed\d+$/;

/** A name without a seed is that of no other's seed. */
const seriesOf = ({ model, architecture, environment }: VersionAccuracy): string =>
  [model.replace(seedEnding, '-seed'), architecture, environment].join('\n');

function labelOf(seeds: readonly (readonly VersionAccuracy[])[]): string {
  const { model, architecture } = seeds[0]![0]!;
  return seeds.length === 1
    ? `${model}, ${architecture}`
    : `${model.replace(seedEnding, '')}, ${architecture} (${seeds.length} seeds)`;
}

/** A value with its spread; null where there is none. */
type Value = readonly [mean: number | null, spread: number | null];

/** Of one model its own values; of several seeds their mean and spread where all of them have a value. */
function pointsOf(
  seeds: readonly (readonly VersionAccuracy[])[],
  placeOf: (record: VersionAccuracy) => number,
  value: (record: VersionAccuracy) => Value,
): CurvePoint[] {
  const known = seeds
    .flat()
    .map((record) => ({ step: placeOf(record), value: value(record) }))
    .filter(({ value: [mean] }) => mean !== null);
  return [...grouped(known, ({ step }) => `${step}`).values()]
    .filter((points) => points.length === seeds.length)
    .map((points) => {
      const means = points.map(({ value: [mean] }) => mean!);
      const spread = seeds.length === 1 ? (points[0].value[1] ?? 0) : standardDeviation(means);
      return { step: points[0].step, mean: mean(means), spread };
    });
}
