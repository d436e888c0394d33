/** Selects the version that answers a request. */

import { emptyStoreRemedy, type HyperpolicyError, notFound, quoted, unavailable } from '../../src/contract/errors.ts';
import { labelForClient, type Routing } from '../../src/package/routing.ts';
import { type Caller, mayUse } from '../call/caller.ts';
import type { TriedVersion } from './load.ts';
import type { ServedVersion } from './served-version.ts';

export type Selection = {
  readonly model: string;
  /** A client stays on one version while traffic is split. */
  readonly clientId?: string;
  readonly selection:
    | { readonly case: 'version'; readonly value: number }
    | { readonly case: 'label'; readonly value: string }
    | { readonly case: undefined; readonly value?: undefined };
};

export type ServedModel = {
  readonly model: string;
  /** Ready versions, newest first; at least one. */
  readonly versions: readonly ServedVersion[];
  readonly routing: Routing;
};

/** The error for a model of which no version can answer. */
const notReady = (actual: string, remedy: string) => (method: string, model: string) =>
  unavailable({
    where: `${method} model`,
    expected: `a version of model "${model}" that is ready`,
    actual,
    remedy,
  });

/** @param withheld all versions of the model, newest first, if none of them is to be served */
export function noVersionReady(method: string, model: string, withheld: readonly number[]): HyperpolicyError {
  if (withheld.length === 0) return notReady('none', "The server's log has the reason")(method, model);
  const [noun, verb] = withheld.length === 1 ? ['version', 'was'] : ['versions', 'were'];
  return notReady(
    `none: ${noun} ${withheld.slice(0, 10).join(', ')} ${verb} unloaded or rolled back`,
    'Bring one back with "hyperpolicy models load"',
  )(method, model);
}

const whileLoading = {
  actual: 'one that is loading',
  remedy: 'Ask again in a few seconds: a large network takes that long',
};
/** Of a model that was not served before: until it is loaded, or waits for others to be. */
export const loading = notReady(whileLoading.actual, whileLoading.remedy);

/**
 * @param trying versions that take long to load
 * @throws HyperpolicyError as ModelStore.resolve
 */
export function resolveVersion(
  models: ReadonlyMap<string, ServedModel>,
  trying: () => readonly TriedVersion[],
  method: string,
  { model, selection, clientId = '' }: Selection,
  caller: Caller | undefined,
): ServedVersion {
  const found = models.get(model);
  if (found === undefined) {
    if (models.size === 0) {
      throw unavailable({
        where: `${method} model`,
        expected: 'a store with a model that is ready',
        actual: 'none',
        remedy: emptyStoreRemedy,
      });
    }
    const allowed = [...models.keys()].filter((name) => mayUse(caller, name));
    throw notFound({ where: `${method} model`, expected: `one of ${listed(allowed)}`, actual: quoted(model) });
  }
  const { versions, routing } = found;
  if (selection.case === undefined) {
    const label = labelForClient(routing, clientId);
    // If the label's version does not load, its clients get the newest ready one.
    return versions.find(({ version }) => label !== undefined && version === routing.labels[label]) ?? versions[0]!;
  }
  const refuseLoading = (where: string, version: number) => {
    const isLoading = trying().some((tried) => tried.model === model && tried.version === version);
    if (!isLoading || routing.withheld.includes(version)) return;
    throw unavailable({ where, expected: `version ${version} of model "${model}"`, ...whileLoading });
  };
  if (selection.case === 'label') return labelled(found, method, selection.value, refuseLoading);
  const served = versions.find(({ version }) => version === selection.value);
  if (served !== undefined) return served;
  refuseLoading(`${method} version`, selection.value);
  throw notFound({
    where: `${method} version`,
    expected: `a version of model "${model}" that is ready (${versions.map(({ version }) => version).join(', ')})`,
    actual: `${selection.value}`,
  });
}

function labelled(
  { model, versions, routing }: ServedModel,
  method: string,
  label: string,
  refuseLoading: (where: string, version: number) => void,
): ServedVersion {
  const version = Object.hasOwn(routing.labels, label) ? routing.labels[label] : undefined;
  const served = versions.find((other) => other.version === version);
  if (served !== undefined) return served;
  if (version !== undefined) {
    refuseLoading(`${method} label`, version);
    throw unavailable({
      where: `${method} label`,
      expected: `version ${version} of model "${model}"`,
      actual: 'one that does not load',
    });
  }
  const labels = Object.keys(routing.labels);
  throw notFound({
    where: `${method} label`,
    expected: `a label of model "${model}"${labels.length === 0 ? ', which has none' : ` (${labels.sort().join(', ')})`}`,
    actual: quoted(label),
  });
}

/** At most ten names, so that an error stays short. */
function listed(names: Iterable<string>): string {
  const all = [...names].sort();
  const shown = all.slice(0, 10).map((name) => `"${name}"`);
  return all.length > 10 ? `${shown.join(', ')} and ${all.length - 10} more` : shown.join(', ');
}
