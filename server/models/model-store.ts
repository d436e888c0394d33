/**
 * The models that are served: finds packages in the store directory, loads the newest versions of each model and swaps them
 * in. A package that is refused leaves what is served as it is. Requests in flight finish on the version they started with.
 */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { emptyStoreRemedy, HyperpolicyError, notFound, unavailable } from '../../src/contract/errors.ts';
import { createStepper } from '../../src/pacing/unhurried.ts';
import { listModels, readPackageIndex } from '../../src/package/package.ts';
import { type Caller, checkModelAllowed } from '../call/caller.ts';
import type { Call } from '../call/rpc.ts';
import type { ServerConfig } from '../config.ts';
import { carryOver } from './carry-over.ts';
import { emptyRouting, labelForClient, type Routing, readRouting } from './routing.ts';
import { type OpenVersionOptions, openVersion, type ServedVersion } from './served-version.ts';

/** Which version a request asks for. */
export type Selection = {
  readonly model: string;
  /** Keeps a client on one version while traffic is split. */
  readonly clientId?: string;
  readonly selection:
    | { readonly case: 'version'; readonly value: number }
    | { readonly case: 'label'; readonly value: string }
    | { readonly case: undefined; readonly value?: undefined };
};

export type ServedModel = {
  readonly model: string;
  /** Ready, newest first; at least one. */
  readonly versions: readonly ServedVersion[];
  readonly routing: Routing;
};

export type ModelStore = {
  /**
   * The version for a request.
   * @param method named in errors
   * @throws HyperpolicyError permission_denied: the caller may not use the model; not_found: model, version or label;
   *   unavailable: the model has no version that is ready
   */
  resolve(method: string, selection: Selection, call: Pick<Call, 'caller'>): ServedVersion;
  /** Every model that has a version ready, by name; versions newest first. */
  list(): readonly ServedModel[];
  /** Looks through the store once: loads what is new, retires what is too old or gone. Never throws. */
  refresh(): Promise<void>;
  /** Stops watching and frees every version. */
  close(): Promise<void>;
};

export type LoadListener = (result: 'loaded' | 'refused', model: string) => void;

export type ModelStoreOptions = {
  readonly config: ServerConfig;
  /** What every version is opened with. */
  readonly networks: Omit<OpenVersionOptions, 'keyPrefix' | 'restRatio'>;
  readonly log: Logger;
  readonly onLoad: LoadListener;
  /** Called after each look through the store. */
  readonly onChange: (modelCount: number) => void;
};

/** Beside requests: a version is loaded with a quarter of one core. */
const restRatio = 3;

/** Loads every model of the store and keeps watching it where the settings say so. */
export async function openModelStore(options: ModelStoreOptions): Promise<ModelStore> {
  const { config, log, onLoad, onChange } = options;
  const models = new Map<string, ServedModel>();
  /** Models of the store none of whose versions loads. */
  const unready = new Set<string>();
  /** What each served version was loaded from. */
  const identities = new WeakMap<ServedVersion, string>();
  /** Packages that were refused, by directory: not tried again until they change. */
  const refused = new Map<string, string>();
  let loadCount = 0;
  let storeMissing = false;
  /** From the first look on there may be requests. */
  let isOpen = false;
  /** A look that is under way ends soon: loading goes with rests, and there are thousands of contexts. */
  let isClosed = false;

  async function load(
    { model, version, identity }: { readonly model: string; readonly version: number; readonly identity: string },
    served: ServedVersion | undefined,
  ): Promise<ServedVersion | undefined> {
    const directory = directoryOf(config.store, model, version);
    if (isClosed || refused.get(directory) === identity) return undefined;
    try {
      const index = await readPackageIndex(directory);
      const keyPrefix = `${loadCount++}/`;
      const opened = await openVersion(index, { ...options.networks, keyPrefix, restRatio: isOpen ? restRatio : 0 });
      identities.set(opened, identity);
      const contextCount = served === undefined ? 0 : await carriedOver(served, opened);
      log.info({ model, version, directory, contextCount }, 'model version ready');
      onLoad('loaded', model);
      return opened;
    } catch (error) {
      refused.set(directory, identity);
      const reason = error instanceof Error ? error.message : String(error);
      log.error({ model, version, directory, reason }, 'model version refused');
      if (!(error instanceof HyperpolicyError)) log.error({ err: error }, 'cause of the refusal');
      onLoad('refused', model);
      return undefined;
    }
  }

  /** How many contexts; a version that could not make them all is served all the same. */
  async function carriedOver(from: ServedVersion, to: ServedVersion): Promise<number> {
    try {
      return await carryOver(from, to, { step: createStepper(restRatio), isWanted: () => !isClosed });
    } catch (error) {
      log.warn({ err: error, model: to.model, version: to.version }, 'contexts were not carried over');
      return 0;
    }
  }

  /** A model's routing; where the file is damaged, what was read before. */
  async function routingOf(model: string): Promise<Routing> {
    try {
      return await readRouting(config.store, model);
    } catch (error) {
      log.error({ model, reason: (error as Error).message }, 'labels refused');
      return models.get(model)?.routing ?? emptyRouting;
    }
  }

  /** The newest versions that load, at most as many as are kept, and those that a label names. */
  async function refreshModel(model: string, published: readonly number[]): Promise<void> {
    const current = models.get(model)?.versions ?? [];
    const routing = await routingOf(model);
    const labelled = new Set(Object.values(routing.labels));
    const next: ServedVersion[] = [];
    let newestCount = 0;
    for (const version of [...published].sort((a, b) => b - a)) {
      if (routing.withheld.includes(version)) continue;
      if (newestCount >= config.versionCountMax && !labelled.has(version)) continue;
      const identity = await identityOf(directoryOf(config.store, model, version));
      const loaded = current.find((other) => other.version === version && identities.get(other) === identity);
      const served = loaded ?? (await load({ model, version, identity }, current[0]));
      if (served === undefined) continue;
      next.push(served);
      newestCount++;
    }
    if (next.length > 0) {
      models.set(model, { model, versions: next, routing });
      unready.delete(model);
    } else {
      models.delete(model);
      unready.add(model);
    }
    for (const served of current) if (!next.includes(served)) served.retire();
  }

  async function lookThrough(): Promise<void> {
    let published: { model: string; versions: number[] }[] = [];
    try {
      published = await listModels(config.store);
      storeMissing = false;
    } catch (error) {
      // Said once, not at every look; what is served stays.
      if (!storeMissing) log.warn({ reason: (error as Error).message }, 'the store cannot be read');
      storeMissing = true;
      return;
    }
    for (const { model, versions } of published) await refreshModel(model, versions);
    const directories = new Set(
      published.flatMap(({ model, versions }) => versions.map((version) => directoryOf(config.store, model, version))),
    );
    for (const directory of refused.keys()) if (!directories.has(directory)) refused.delete(directory);
    for (const model of unready) if (!published.some((other) => other.model === model)) unready.delete(model);
    for (const [model, { versions }] of models) {
      if (published.some((other) => other.model === model)) continue;
      models.delete(model);
      for (const served of versions) served.retire();
      log.info({ model }, 'model gone from the store');
    }
  }

  let running: Promise<void> | undefined;
  const refresh = (): Promise<void> => {
    running ??= lookThrough()
      .catch((error: unknown) => log.error({ err: error }, 'looking through the store failed'))
      .finally(() => {
        running = undefined;
        onChange(models.size);
      });
    return running;
  };

  await refresh();
  isOpen = true;
  const timer = config.watchMs > 0 ? setInterval(refresh, config.watchMs) : undefined;
  timer?.unref();

  return {
    resolve(method, selection, { caller }) {
      checkModelAllowed(method, caller, selection.model);
      if (unready.has(selection.model)) throw noVersionReady(method, selection.model);
      return resolveVersion(models, method, selection, caller);
    },
    list: () => [...models.values()].sort((a, b) => (a.model < b.model ? -1 : 1)),
    async refresh() {
      // A look that is under way may have passed what has just changed.
      await running;
      await refresh();
    },
    async close() {
      clearInterval(timer);
      isClosed = true;
      await running;
      for (const { versions } of models.values()) for (const served of versions) served.retire();
      models.clear();
    },
  };
}

const directoryOf = (store: string, model: string, version: number): string => join(store, model, String(version));

/** Changes when a package is published anew in the same place. */
async function identityOf(directory: string): Promise<string> {
  try {
    const { ino, mtimeMs } = await stat(join(directory, 'manifest.json'));
    return `${directory}:${ino}:${mtimeMs}`;
  } catch {
    return directory;
  }
}

const noVersionReady = (method: string, model: string) =>
  unavailable({
    where: `${method} model`,
    expected: `a version of model "${model}" that is ready`,
    actual: 'none',
    remedy: "The server's log has the reason",
  });

function resolveVersion(
  models: ReadonlyMap<string, ServedModel>,
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
    const allowed = [...models.keys()].filter((name) => caller?.allowsModel(name) ?? true);
    throw notFound({ where: `${method} model`, expected: `one of ${listed(allowed)}`, actual: quoted(model) });
  }
  const { versions, routing } = found;
  if (selection.case === undefined) {
    const label = labelForClient(routing, clientId);
    // A label whose version does not load sends its clients to the newest one that does.
    return versions.find(({ version }) => label !== undefined && version === routing.labels[label]) ?? versions[0]!;
  }
  if (selection.case === 'label') return labelled(found, method, selection.value);
  const served = versions.find(({ version }) => version === selection.value);
  if (served !== undefined) return served;
  throw notFound({
    where: `${method} version`,
    expected: `a version of model "${model}" that is ready (${versions.map(({ version }) => version).join(', ')})`,
    actual: `${selection.value}`,
  });
}

function labelled({ model, versions, routing }: ServedModel, method: string, label: string): ServedVersion {
  const version = Object.hasOwn(routing.labels, label) ? routing.labels[label] : undefined;
  const served = versions.find((other) => other.version === version);
  if (served !== undefined) return served;
  if (version !== undefined) {
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

/** A client's text as it may go into an error: quoted, of bounded length. */
const quoted = (text: string): string => JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text);
