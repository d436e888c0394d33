/** The versions of a store that an analysis goes along. */

import { join } from 'node:path';
import { notFound } from '../../src/contract/errors.ts';
import { listModels } from '../../src/package/package.ts';

/** A model, and which of its versions; all of them unless named. */
export type VersionChoice = { readonly model: string; readonly versions?: readonly number[] | undefined };

export type ModelVersion = { readonly model: string; readonly version: number; readonly directory: string };

/**
 * @param remedy for a model that is not there
 * @returns by choice, the versions ascending; each once, where it is first chosen
 * @throws HyperpolicyError not_found: a model or version that the store does not have; failed_precondition: the store cannot be read
 */
export async function findVersions(
  store: string,
  choices: readonly VersionChoice[],
  remedy = 'Train one with --publish every, so that each evaluation has a version',
): Promise<ModelVersion[]> {
  const models = await listModels(store);
  const all = choices.flatMap(({ model, versions: asked }) => {
    const found = models.find((one) => one.model === model);
    if (found === undefined) {
      throw notFound({
        where: `model of ${store}`,
        expected: models.length === 0 ? 'a store with a model' : `one of ${models.map((one) => one.model).join(', ')}`,
        actual: models.length === 0 ? 'an empty one' : `"${model}"`,
        remedy,
      });
    }
    const missing = asked?.find((version) => !found.versions.includes(version));
    if (missing !== undefined) {
      throw notFound({
        where: `version of "${model}"`,
        expected: `one of ${found.versions.join(', ')}`,
        actual: `${missing}`,
      });
    }
    return found.versions
      .filter((version) => asked?.includes(version) ?? true)
      .map((version) => ({ model, version, directory: join(store, model, `${version}`) }));
  });
  return [...new Map(all.map((one) => [one.directory, one])).values()];
}
