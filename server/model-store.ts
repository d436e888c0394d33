/**
 * The models that are served: finds packages in the store directory, loads the newest versions of each model and swaps them
 * in. A package that is refused leaves what is served as it is. Requests in flight finish on the version they started with.
 */

import { join } from 'node:path';
import type { Logger } from 'pino';
import { HyperpolicyError, notFound, unavailable } from '../src/spec/errors.ts';
import { listModels, readPackage } from '../src/spec/package.ts';
import type { ServerConfig } from './config.ts';
import { type OpenVersionOptions, openVersion, type ServedVersion } from './served-version.ts';

/** Which version a request asks for. */
export type Selection = {
  readonly model: string;
  readonly selection:
    | { readonly case: 'version'; readonly value: number }
    | { readonly case: 'label'; readonly value: string }
    | { readonly case: undefined; readonly value?: undefined };
};

export type ModelStore = {
  /**
   * The version for a request.
   * @param method named in errors
   * @throws HyperpolicyError not_found: model, version or label; unavailable: the model has no version that is ready
   */
  resolve(method: string, selection: Selection): ServedVersion;
  /** Every model that has a version ready, by name; versions newest first. */
  list(): readonly { readonly model: string; readonly versions: readonly ServedVersion[] }[];
  /** Looks through the store once: loads what is new, retires what is too old or gone. Never throws. */
  refresh(): Promise<void>;
  /** Stops watching and frees every version. */
  close(): Promise<void>;
};

export type LoadListener = (result: 'loaded' | 'refused', model: string) => void;

export type ModelStoreOptions = {
  readonly config: ServerConfig;
  /** What every version is opened with. */
  readonly networks: Omit<OpenVersionOptions, 'keyPrefix'>;
  readonly log: Logger;
  readonly onLoad: LoadListener;
  /** Called after each look through the store. */
  readonly onChange: (modelCount: number) => void;
};

/** Loads every model of the store and keeps watching it where the settings say so. */
export async function openModelStore(options: ModelStoreOptions): Promise<ModelStore> {
  const { config, log, onLoad, onChange } = options;
  const models = new Map<string, ServedVersion[]>();
  /** Packages that were refused: not tried again until they change place. */
  const refused = new Set<string>();
  let loadCount = 0;
  let storeMissing = false;

  async function load(model: string, version: number): Promise<ServedVersion | undefined> {
    const directory = join(config.store, model, String(version));
    if (refused.has(directory)) return undefined;
    try {
      const modelPackage = await readPackage(directory);
      const served = await openVersion(modelPackage, { ...options.networks, keyPrefix: `${loadCount++}/` });
      log.info({ model, version, directory }, 'model version ready');
      onLoad('loaded', model);
      return served;
    } catch (error) {
      refused.add(directory);
      const reason = error instanceof Error ? error.message : String(error);
      log.error({ model, version, directory, reason }, 'model version refused');
      if (!(error instanceof HyperpolicyError)) log.error({ err: error }, 'cause of the refusal');
      onLoad('refused', model);
      return undefined;
    }
  }

  /** The newest versions that load, at most as many as are kept. */
  async function refreshModel(model: string, published: readonly number[]): Promise<void> {
    const current = models.get(model) ?? [];
    const next: ServedVersion[] = [];
    for (const version of [...published].sort((a, b) => b - a)) {
      if (next.length === config.versionCountMax) break;
      const served = current.find((other) => other.version === version) ?? (await load(model, version));
      if (served !== undefined) next.push(served);
    }
    if (next.length > 0) models.set(model, next);
    else models.delete(model);
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
    for (const [model, versions] of models) {
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
  const timer = config.watchMs > 0 ? setInterval(refresh, config.watchMs) : undefined;
  timer?.unref();

  return {
    resolve: (method, selection) => resolveVersion(models, method, selection),
    list: () =>
      [...models.entries()]
        .map(([model, versions]) => ({ model, versions }))
        .sort((a, b) => (a.model < b.model ? -1 : 1)),
    refresh,
    async close() {
      clearInterval(timer);
      await running;
      for (const versions of models.values()) for (const served of versions) served.retire();
      models.clear();
    },
  };
}

function resolveVersion(
  models: ReadonlyMap<string, readonly ServedVersion[]>,
  method: string,
  { model, selection }: Selection,
): ServedVersion {
  const versions = models.get(model);
  if (versions === undefined) {
    if (models.size === 0) {
      throw unavailable({ where: `${method} model`, expected: 'a store with a model that is ready', actual: 'none' });
    }
    throw notFound({ where: `${method} model`, expected: `one of ${listed(models.keys())}`, actual: quoted(model) });
  }
  if (selection.case === undefined) return versions[0]!;
  if (selection.case === 'label') {
    throw notFound({
      where: `${method} label`,
      expected: `a label of model "${model}", which has none`,
      actual: quoted(selection.value),
    });
  }
  const served = versions.find(({ version }) => version === selection.value);
  if (served !== undefined) return served;
  throw notFound({
    where: `${method} version`,
    expected: `a version of model "${model}" that is ready (${versions.map(({ version }) => version).join(', ')})`,
    actual: `${selection.value}`,
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
