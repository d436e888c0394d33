/** Distributions of generated weights along versions, beside those of a plain network. As records, a table of bins, a chart. */

import { failedPrecondition } from '../../src/contract/errors.ts';
import { createModelEnvironment } from '../../src/envs/model-environment.ts';
import { trainedIn } from '../../src/package/manifest.ts';
import { type ModelPackage, readPackage } from '../../src/package/package.ts';
import { singleUnit } from '../run/progress.ts';
import type { CurvePoint, Panel } from '../seeing/curve-chart.ts';
import {
  generatedLayers,
  generatingNetwork,
  type LayerValues,
  type NetworkName,
  plainLayers,
} from './dynamic-weights.ts';
import { type Bins, commonBins, edgeOf, fractionsIn, totalVariation, widened } from './histogram.ts';
import type { ModelVersion } from './model-versions.ts';
import { stepUnitOf } from './step-unit.ts';

export type WeightStudyOptions = {
  /** At least one, all with the same number of generated layers. */
  readonly versions: readonly ModelVersion[];
  /** The plain network. */
  readonly against: ModelVersion;
  /** In place of the one that each version names: a name or a path. */
  readonly env?: string | undefined;
  /** The critic if that generates its weights, else the policy, unless given. */
  readonly network?: NetworkName | undefined;
  /** States or tasks for which weights are generated. */
  readonly inputCount: number;
  readonly binCount: number;
  readonly seed: number;
  /** Told when the weights of a version are known. */
  readonly onVersion?: (() => void) | undefined;
};

/** The values of one part of one layer, and their histogram from the smallest to the largest. */
export type WeightPart = {
  /** From 0. */
  readonly layer: number;
  readonly part: keyof LayerValues;
  readonly count: number;
  readonly mean: number;
  readonly standardDeviation: number;
  readonly bins: Bins;
  /** Fraction of the values in each bin. */
  readonly fractions: readonly number[];
};

/** Generated values; the bins reach over the plain network's too. */
export type ComparedPart = WeightPart & {
  /** Of the plain network, in the same bins. */
  readonly plainFractions: readonly number[];
  /** Distance of the two histograms. */
  readonly totalVariation: number;
};

export type VersionWeights<Part extends WeightPart = WeightPart> = {
  readonly model: string;
  readonly version: number;
  /** Of the training, in its unit. */
  readonly step: number;
  /** What the step counts, in the plural. */
  readonly stepUnit: string;
  readonly network: NetworkName;
  readonly architecture: string;
  readonly parts: readonly Part[];
};

export type WeightStudy = {
  /** In the order of the versions. */
  readonly generated: readonly VersionWeights<ComparedPart>[];
  readonly plain: VersionWeights;
  /** By layer: all in the same bins, around the plain network's weights. */
  readonly shown: readonly ShownWeights[];
};

type ShownWeights = {
  readonly bins: Bins;
  /** By version, the plain network's last: the fraction of its weights in each bin. Weights beyond the bins are in none. */
  readonly fractions: readonly (readonly number[])[];
};

/** The range of a picture, in ranges of the plain network's weights: others may have tails that are many times as long. */
const shownShare = 3;

/**
 * Each version is compared with the plain network in bins of its own, so that what else is studied changes nothing.
 * @throws HyperpolicyError failed_precondition: versions that differ in their number of layers or generating network; as generatingNetwork,
 *   generatedLayers, plainLayers, createModelEnvironment and readPackage
 */
export async function studyWeights(options: WeightStudyOptions): Promise<WeightStudy> {
  const { versions, against, binCount, onVersion } = options;
  const content = await readPackage(against.directory);
  const first = await generatedValues(versions[0]!, options);
  const { network, layers } = first;
  const plain = { ...(await headOf(content, network)), layers: plainLayers(content, network, layers.length) };
  onVersion?.();
  const read = [first];
  for (const version of versions.slice(1)) {
    read.push(await generatedValues(version, options));
    refuseOther(first, read.at(-1)!);
    onVersion?.();
  }
  return {
    generated: read.map((one) =>
      partsOf(one, (values, place) => comparedPart(values, plain.layers[place.layer]![place.part], binCount)),
    ),
    plain: partsOf(plain, (values) => {
      const bins = commonBins([values], binCount);
      return { ...momentsOf(values), bins, fractions: [...fractionsIn(bins, values)] };
    }),
    shown: plain.layers.map(({ weights }, layer) => {
      const bins = widened(commonBins([weights], binCount), shownShare);
      return { bins, fractions: [...read, plain].map((one) => [...fractionsIn(bins, one.layers[layer]!.weights)]) };
    }),
  };
}

type Place = Pick<WeightPart, 'layer' | 'part'>;

function partsOf<Part>({ layers, ...head }: Values, partOf: (values: Float32Array, place: Place) => Part) {
  const places = layers.flatMap((_, layer) => (['weights', 'biases'] as const).map((part) => ({ layer, part })));
  return { ...head, parts: places.map((place) => ({ ...place, ...partOf(layers[place.layer]![place.part], place) })) };
}

function comparedPart(
  values: Float32Array,
  plainValues: Float32Array,
  binCount: number,
): Omit<ComparedPart, keyof Place> {
  const bins = commonBins([values, plainValues], binCount);
  const [fractions, plainFractions] = [fractionsIn(bins, values), fractionsIn(bins, plainValues)];
  return {
    ...{ ...momentsOf(values), bins, fractions: [...fractions], plainFractions: [...plainFractions] },
    totalVariation: totalVariation(fractions, plainFractions),
  };
}

type Values = Omit<VersionWeights, 'parts'> & { readonly layers: readonly LayerValues[] };

async function generatedValues(
  { directory }: ModelVersion,
  { env: own, network: asked, inputCount, seed }: WeightStudyOptions,
): Promise<Values> {
  const content = await readPackage(directory);
  const network = generatingNetwork(content, asked);
  const env = await createModelEnvironment(trainedIn(content.manifest), { own, where: 'analyse' });
  try {
    return {
      ...(await headOf(content, network)),
      layers: generatedLayers(content, network, { env, inputCount, seed }),
    };
  } finally {
    env.dispose();
  }
}

const headOf = async ({ manifest }: ModelPackage, network: NetworkName) => ({
  ...{ model: manifest.model, version: manifest.version },
  ...{ step: manifest.training.steps, stepUnit: await stepUnitOf(manifest) },
  ...{ network, architecture: manifest[network]?.architecture ?? 'none' },
});

function refuseOther(first: Values, other: Values): void {
  if (first.network === other.network && first.layers.length === other.layers.length) return;
  const describe = ({ network, layers }: Values) => `a ${network} of ${layers.length} layers`;
  throw failedPrecondition({
    where: `analyse: version ${other.version} of "${other.model}"`,
    expected: `${describe(first)}, as that of "${first.model}"`,
    actual: describe(other),
    remedy: 'Name the network with --network, or study them one by one',
  });
}

function momentsOf(values: Float32Array) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { count: values.length, mean, standardDeviation: Math.sqrt(variance) };
}

/** A line for each bin of each part of each version. */
export function weightTable({ generated }: WeightStudy): string {
  const lines = generated.flatMap(({ model, version, step, parts }) =>
    parts.flatMap(({ layer, part, bins, fractions, plainFractions }) =>
      fractions.map((fraction, bin) => {
        const edges = [edgeOf(bins, bin), edgeOf(bins, bin + 1)];
        return [model, version, step, layer, part, ...edges, fraction, plainFractions[bin]].join(',');
      }),
    ),
  );
  const head = 'model,version,step,layer,part,low,high,fraction,plainFraction';
  return [head, ...lines].map((line) => `${line}\n`).join('');
}

/** A panel for the weights of each layer, with a curve through the bins for each version and the plain network. */
export function weightPanels({ generated, plain, shown }: WeightStudy): Panel[] {
  const curves = [...generated, plain].map(
    ({ model, version, architecture, step, stepUnit }) =>
      `${model}@${version}, ${architecture}, ${singleUnit(stepUnit)} ${step}`,
  );
  const distanceOf = ({ parts }: VersionWeights<ComparedPart>, layer: number) =>
    parts.find((one) => one.layer === layer && one.part === 'weights')!.totalVariation.toFixed(3);
  return shown.map(({ bins, fractions }, layer) => ({
    title: `Weights of layer ${layer}`,
    subtitle: generated.map((one) => `distance of ${one.model}@${one.version} ${distanceOf(one, layer)}`).join(', '),
    stepTitle: 'weight',
    isFractional: true,
    valueTitle: 'fraction in a bin',
    curves: curves.map((label, i) => ({ label, points: pointsOf(bins, fractions[i]!) })),
  }));
}

const pointsOf = (bins: Bins, fractions: readonly number[]): CurvePoint[] =>
  fractions.map((mean, bin) => ({ step: (edgeOf(bins, bin) + edgeOf(bins, bin + 1)) / 2, mean, spread: 0 }));
