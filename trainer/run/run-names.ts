/** Names of runs: they hold the seed, so that several seeds are several runs without another word. */

import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { invalidArgument } from '../../src/contract/errors.ts';
import { meant } from '../../src/contract/nearest.ts';
import { modelNameLengthMax } from '../../src/package/model-name.ts';
import type { Algorithm } from './algorithm.ts';

/** Words that tell a run's kind: the algorithm's name and its variant, once where they are equal. */
export const kindWords = (
  algorithm: Pick<Algorithm, 'name' | 'variant'>,
  settings: { readonly algorithm: object },
): string[] => [...new Set([algorithm.name, algorithm.variant(settings)])];

/** A run of a model with a seed. */
export function runName(model: string, seed: number): string {
  const ending = runEnding(seed);
  return model.endsWith(ending) ? model : `${model}${ending}`;
}

const runEnding = (seed: number): string => `-seed${seed}`;

/** Seeds of as many digits leave the name before them as it is. */
const endingLengthMin = '-seed9999'.length;
const hashLength = 6;

/**
 * A model's name of these words, without the seed, for which there is room. One that is too long is cut and gets a hash of the whole, so that
 * names that differ stay different.
 * @param words any text; what a name cannot have is a dash
 */
export function madeModelName(words: readonly string[], seed: number): string {
  const whole = words.map(nameOf).filter(Boolean).join('-');
  const lengthMax = modelNameLengthMax - Math.max(runEnding(seed).length, endingLengthMin);
  if (whole.length <= lengthMax) return whole;
  const hash = createHash('sha256').update(whole).digest('hex').slice(0, hashLength);
  const kept = whole.slice(0, lengthMax - hashLength - 1).replace(/[._-]+$/, '');
  return `${kept}-${hash}`;
}

const nameOf = (word: string): string =>
  word
    .toLowerCase()
    .replaceAll(/[^a-z0-9._]+/g, '-')
    .replaceAll(/^[._-]+|[._-]+$/g, '');

/**
 * The run directory of a model if none is named.
 * @param runs the folder of run directories
 * @throws HyperpolicyError invalid_argument: there are several, of different seeds
 */
export function findRun(runs: string, model: string): string {
  const found = namesIn(runs).filter((name) => name === model || seedOf(name, model) !== undefined);
  if (found.length > 1) {
    throw invalidArgument({
      where: `resume: ${model}`,
      expected: 'one run of this model',
      actual: `${found.length}: ${found.join(', ')}`,
      remedy: `Name one: --run ${join(runs, found[0]!)}`,
    });
  }
  return join(runs, found[0] ?? runName(model, 0));
}

/** A run beside a directory that is none, which may be meant by its name: the seed is left out, or it is misspelt. */
export function nearRun(directory: string, isRun: (directory: string) => boolean): string | undefined {
  const [folder, name] = [dirname(directory), basename(directory)];
  const runs = namesIn(folder).filter((one) => isRun(join(folder, one)));
  const ofSeed = runs.find((one) => seedOf(one, name) !== undefined);
  const near = ofSeed ?? (runs.length > 0 ? meant(name, runs) : undefined);
  return near && join(folder, near);
}

const seedOf = (name: string, model: string): string | undefined =>
  name.startsWith(`${model}-seed`) ? /^\d+$/.exec(name.slice(model.length + '-seed'.length))?.[0] : undefined;

/** What is in a folder, sorted; nothing where there is none. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
