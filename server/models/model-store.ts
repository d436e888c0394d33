/**
 * The models that are served: finds packages in the store directory, loads the newest versions of each model and swaps them
 * in. A package that is refused leaves what is served as it is. Requests in flight finish on the version they started with.
 */

import { listStore, type StoreListing } from '../../src/package/package.ts';
import { checkModelAllowed } from '../call/caller.ts';
import type { Call } from '../call/rpc.ts';
import type { ServerConfig } from '../config.ts';
import { type AskedVersion, PackageLoader, type PackageLoaderOptions } from './package-loader.ts';
import { emptyRouting, type Routing, readRouting } from './routing.ts';
import { noVersionReady, resolveVersion, type Selection, type ServedModel } from './selection.ts';
import type { ServedVersion } from './served-version.ts';

export type ModelStoreOptions = Omit<PackageLoaderOptions, 'store' | 'onWithdrawn'> & {
  readonly config: ServerConfig;
  /** Called after each look through the store. */
  readonly onChange: (modelCount: number) => void;
};

/** A model and the versions of it that are ready, newest first. */
export type ReadyModel = { readonly model: string; readonly versions: readonly number[] };

export class ModelStore {
  readonly #options: ModelStoreOptions;
  readonly #loader: PackageLoader;
  readonly #models = new Map<string, ServedModel>();
  /** Models of the store none of whose versions loads. */
  readonly #unready = new Set<string>();
  /** Folders that are not served and have been reported, with the reason. */
  #passedOver = new Set<string>();
  #isStoreMissing = false;
  /** The look through the store that is under way. */
  #look: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ModelStoreOptions) {
    this.#options = options;
    const onWithdrawn = (served: ServedVersion) => this.#withdraw(served);
    this.#loader = new PackageLoader({ ...options, store: options.config.store, onWithdrawn });
  }

  /** Loads every model of the store and keeps watching it where the settings say so. */
  async open(): Promise<void> {
    await this.#lookOnce();
    this.#loader.yieldToRequests();
    const { watchMs } = this.#options.config;
    if (watchMs > 0) this.#timer = setInterval(() => this.#lookOnce(), watchMs).unref();
  }

  /**
   * The version for a request.
   * @param method named in errors
   * @throws HyperpolicyError permission_denied: the caller may not use the model; not_found: model, version or label;
   *   unavailable: the model has no version that is ready
   */
  resolve(method: string, selection: Selection, call: Pick<Call, 'caller' | 'answeredBy'>): ServedVersion {
    const { caller } = call;
    checkModelAllowed(method, caller, selection.model);
    if (this.#unready.has(selection.model)) throw noVersionReady(method, selection.model);
    const served = resolveVersion(this.#models, method, selection, caller);
    call.answeredBy = served;
    return served;
  }

  /** Every model that has a version ready, by name; versions newest first. */
  list(): readonly ServedModel[] {
    return [...this.#models.values()].sort((a, b) => (a.model < b.model ? -1 : 1));
  }

  ready(): readonly ReadyModel[] {
    return this.list().map(({ model, versions }) => ({ model, versions: versions.map(({ version }) => version) }));
  }

  /**
   * Looks through the store once: loads what is new, retires what is too old or gone. Never throws.
   * @param asked a version that somebody asks for: it is tried also if it was refused a moment ago
   */
  async refresh(asked: AskedVersion | null = null): Promise<void> {
    // A look that is under way may have passed what has just changed.
    await this.#look;
    if (asked !== null) this.#loader.retry(asked);
    await this.#lookOnce();
  }

  /** Stops watching and frees every version. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#loader.close();
    await this.#look;
    for (const { versions } of this.#models.values()) for (const served of versions) served.retire();
    this.#models.clear();
  }

  #lookOnce(): Promise<void> {
    const { log, onChange } = this.#options;
    this.#look ??= this.#lookThrough()
      .catch((error: unknown) => log.error({ err: error }, 'looking through the store failed'))
      .finally(() => {
        this.#look = undefined;
        onChange(this.#models.size);
      });
    return this.#look;
  }

  async #lookThrough(): Promise<void> {
    const { config, log } = this.#options;
    let listing: StoreListing;
    try {
      listing = await listStore(config.store);
      this.#isStoreMissing = false;
    } catch (error) {
      // Said once, not at every look; what is served stays.
      if (!this.#isStoreMissing) log.warn({ reason: (error as Error).message }, 'the store cannot be read');
      this.#isStoreMissing = true;
      return;
    }
    this.#tellPassedOver(listing);
    const { models: published, passedOver } = listing;
    for (const { model, versions } of published) await this.#refreshModel(model, versions);
    this.#loader.keepOnly(published);
    // A folder that cannot be read may be again: what was served of it goes on.
    const unreadable = passedOver.filter(({ version }) => version === undefined);
    this.#dropGone(new Set([...published, ...unreadable].map(({ model }) => model)));
  }

  /** Each folder once, until its reason is another. */
  #tellPassedOver({ passedOver }: StoreListing): void {
    const { log, onLoad } = this.#options;
    const keyOf = ({ directory, reason }: (typeof passedOver)[number]) => `${directory}: ${reason}`;
    for (const folder of passedOver) {
      const { directory, reason, model, version } = folder;
      if (this.#passedOver.has(keyOf(folder))) continue;
      if (model === undefined || version === undefined) {
        log.warn({ directory, reason }, 'folder of the store passed over');
        continue;
      }
      log.error({ model, version, directory, reason }, 'model version refused');
      onLoad('refused', model);
    }
    this.#passedOver = new Set(passedOver.map(keyOf));
  }

  /** The newest versions that load, at most as many as are kept, and those that a label names. */
  async #refreshModel(model: string, published: readonly number[]): Promise<void> {
    const current = this.#models.get(model)?.versions ?? [];
    const routing = await this.#routingOf(model);
    const labelled = new Set(Object.values(routing.labels));
    const next: ServedVersion[] = [];
    for (const version of [...published].sort((a, b) => b - a)) {
      if (routing.withheld.includes(version)) continue;
      if (next.length >= this.#options.config.versionCountMax && !labelled.has(version)) continue;
      const served = await this.#loader.versionOf(model, version, current);
      if (served !== undefined) next.push(served);
    }
    for (const served of current) if (!next.includes(served)) served.retire();
    // One of them may have been withdrawn while another was loaded.
    this.#serve({ model, routing, versions: next.filter((served) => !this.#loader.isWithdrawn(served)) });
  }

  #serve(served: ServedModel): void {
    const { model, versions } = served;
    this.#models.delete(model);
    this.#unready.delete(model);
    if (versions.length > 0) this.#models.set(model, served);
    else this.#unready.add(model);
  }

  #withdraw(withdrawn: ServedVersion): void {
    const served = this.#models.get(withdrawn.model);
    if (served?.versions.includes(withdrawn)) {
      this.#serve({ ...served, versions: served.versions.filter((version) => version !== withdrawn) });
    }
    withdrawn.retire();
    this.#options.onChange(this.#models.size);
  }

  /** A model's routing; where the file is damaged, what was read before. */
  async #routingOf(model: string): Promise<Routing> {
    const { config, log } = this.#options;
    try {
      return await readRouting(config.store, model);
    } catch (error) {
      log.error({ model, reason: (error as Error).message }, 'labels refused');
      return this.#models.get(model)?.routing ?? emptyRouting;
    }
  }

  #dropGone(names: ReadonlySet<string | undefined>): void {
    for (const model of this.#unready) if (!names.has(model)) this.#unready.delete(model);
    for (const [model, { versions }] of this.#models) {
      if (names.has(model)) continue;
      this.#models.delete(model);
      for (const served of versions) served.retire();
      this.#options.log.info({ model }, 'model gone from the store');
    }
  }
}
