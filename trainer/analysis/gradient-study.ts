/** Gradient accuracy along versions: of a run that published one at each evaluation, how it goes along training. As records, a table, a chart. */

import type { Env } from '../../src/envs/env.ts';
import { createModelEnvironment } from '../../src/envs/model-environment.ts';
import { readPackage } from '../../src/package/package.ts';
import { createPackagePolicy } from '../rollout/policy.ts';
import type { CurvePoint, Panel } from '../seeing/curve-chart.ts';
import { type AccuracySettings, gradientAccuracy } from './gradient-accuracy.ts';
import type { ModelVersion } from './model-versions.ts';
import { createPackageCritic } from './package-critic.ts';

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
  /** Training steps. */
  readonly step: number;
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
      const { environment, critic: criticEntry, training } = content.manifest;
      const env =
        environments.get(environment) ?? (await createModelEnvironment(content.manifest, { own, where: 'analyse' }));
      environments.set(environment, env);
      const critic = createPackageCritic(content);
      try {
        const policy = createPackagePolicy(content, { specs: env.specs, threadCount: 1 });
        try {
          const studied = { env, policy, critic, ...(onReturn !== undefined && { onReturn }) };
          const { cosines, stepCount } = gradientAccuracy(studied, settings);
          yield {
            ...{ model, version, environment: env.name, architecture: criticEntry!.architecture },
            ...{ step: training.steps, cosines, ...summaryOf(cosines, thresholds), environmentSteps: stepCount },
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
  const mean = (values: readonly number[]) =>
    values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
  const meanCosine = mean(known);
  const variance = mean(known.map((cosine) => (cosine - meanCosine!) ** 2));
  return {
    meanCosine,
    standardDeviation: variance === null ? null : Math.sqrt(variance),
    fractionsAbove: thresholds.map((threshold) => mean(known.map((cosine) => Number(cosine > threshold)))),
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

/** A panel of the mean cosine and one for each threshold, with a curve for each model. */
export function accuracyPanels(records: readonly VersionAccuracy[], thresholds: readonly number[]): Panel[] {
  const models = [...new Set(records.map(({ model }) => model))];
  const byStep = models.every((model) => {
    const steps = records.filter((record) => record.model === model).map(({ step }) => step);
    return new Set(steps).size === steps.length;
  });
  const panel = (
    head: Pick<Panel, 'title' | 'subtitle' | 'valueTitle'>,
    value: (record: VersionAccuracy) => Value,
  ): Panel => ({
    ...head,
    stepTitle: byStep ? 'training steps' : 'version',
    curves: models.map((model) => ({
      label: `${model}, ${records.find((record) => record.model === model)!.architecture}`,
      points: records
        .filter((record) => record.model === model)
        .flatMap((record) => pointOf(byStep ? record.step : record.version, value(record))),
    })),
  });
  const environments = [...new Set(records.map(({ environment }) => environment))].join(', ');
  return [
    panel(
      {
        title: `Gradient accuracy on ${environments}`,
        subtitle: 'mean and standard deviation over states',
        valueTitle: 'cosine similarity',
      },
      ({ meanCosine, standardDeviation }) => [meanCosine, standardDeviation],
    ),
    ...thresholds.map((threshold, i) =>
      panel(
        { title: `Cosine above ${threshold}`, subtitle: '', valueTitle: 'fraction of states' },
        ({ fractionsAbove }) => [fractionsAbove[i]!, 0],
      ),
    ),
  ];
}

/** A value with its spread; null where there is none. */
type Value = readonly [mean: number | null, spread: number | null];

const pointOf = (step: number, [mean, spread]: Value): CurvePoint[] =>
  mean === null ? [] : [{ step, mean, spread: spread ?? 0 }];
