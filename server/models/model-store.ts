/**
 * The served models: scans the store directory for packages, loads the newest versions of each model and swaps them in. A refused
 * package changes nothing. Requests in flight finish on the version that they began with.
 */

import { isDeepStrictEqual } from 'node:util';
import { NamedTurns } from '../../src/pacing/turns.ts';
import { listStore, type StoreListing } from '../../src/package/package.ts';
import { type Routing, readRouting, routingFile } from '../../src/package/routing.ts';
import { checkModelAllowed } from '../call/caller.ts';
import type { Call } from '../call/rpc.ts';
import type { ServerConfig } from '../config.ts';
import type { TriedVersion } from './load.ts';
import { type AskedModel, PackageLoader, type PackageLoaderOptions } from './package-loader.ts';
import { loading, noVersionReady, resolveVersion, type Selection, type ServedModel } from './selection.ts';
import type { ServedVersion } from './served-version.ts';

export type ModelStoreOptions = Omit<PackageLoaderOptions, 'store' | 'onWithdrawn' | 'onTried' | 'newestOf'> & {
  readonly config: ServerConfig;
  /** The labels of a model changed and were read again, or refused. */
  readonly onLabels: (result: 'loaded' | 'refused') => void;
  /** Called after each look at the store, and at a model that changed where others take long or that was asked for. */
  readonly onChange: (modelCount: number) => void;
};

/** A model and its ready versions, newest first. */
export type ReadyModel = { readonly model: string; readonly versions: readonly number[] };

const labelsRemedy =
  'Mend the file, or remove it: then every version is served, also those that were unloaded or rolled back';

export class ModelStore {
  readonly #options: ModelStoreOptions;
  readonly #loader: PackageLoader;
  readonly #models = new Map<string, ServedModel>();
  /** Models of the store without a version that loads; each with its versions, newest first, if all are withheld. */
  readonly #unready = new Map<string, readonly number[]>();
  /** Models that were found, and that are in neither of the two yet: they wait, or a version of theirs takes long. */
  readonly #loading = new Set<string>();
  /** Folders that are skipped and were reported, with the reason. */
  #skipped = new Set<string>();
  /** The last good routing of each model of the store, ready or not. */
  readonly #routings = new Map<string, Routing>();
  /** Why the labels of a model were refused at the last look. */
  readonly #labelFaults = new Map<string, string>();
  #isStoreMissing = false;
  #isClosed = false;
  /** The running scan of the store. */
  #scan: Promise<void> | undefined;
  /** Models that the store had at the last look. */
  #published = new Set<string | undefined>();
  /** Looks at each model: a scan's, and those for admins beside it. */
  readonly #looks = new NamedTurns();
  /** Models that were looked at by themselves since the running scan began: it knows less of them. */
  readonly #lookedAt = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ModelStoreOptions) {
    this.#options = options;
    const onWithdrawn = (served: ServedVersion) => this.#withdraw(served);
    const onTried = (tried: TriedVersion) => void this.#lookAtTried(tried);
    const newestOf = (model: string) => this.#models.get(model)?.versions[0];
    this.#loader = new PackageLoader({ ...options, store: options.config.store, onWithdrawn, onTried, newestOf });
  }

  /**
   * Loads every model of the store, but for versions that take long, and scans it again every `watchMs`. Where several take long, the rest
   * is loaded beside requests.
   */
  async open(): Promise<void> {
    const { log, config } = this.#options;
    const scan = this.#scanOnce().then(() => true);
    const isLoaded = await Promise.race([scan, this.#loader.heldUp.then(() => false)]);
    this.#loader.yieldToRequests();
    if (!isLoaded) log.warn({ leftCount: this.#loading.size }, 'several versions take long: the rest is loaded later');
    const { watchMs } = config;
    if (watchMs > 0) this.#timer = setInterval(() => this.#scanOnce(), watchMs).unref();
  }

  /**
   * The version for a request.
   * @param method named in errors
   * @throws HyperpolicyError permission_denied: the caller may not use the model; not_found: model, version or label;
   *   unavailable: no version of the model is ready, or it or the version is loading
   */
  resolve(method: string, selection: Selection, call: Pick<Call, 'caller' | 'answeredBy'>): ServedVersion {
    const { caller } = call;
    checkModelAllowed(method, caller, selection.model);
    if (this.#loading.has(selection.model)) throw loading(method, selection.model);
    const withheld = this.#unready.get(selection.model);
    if (withheld !== undefined) throw noVersionReady(method, selection.model, withheld);
    const served = resolveVersion(this.#models, () => this.trying, method, selection, caller);
    call.answeredBy = served;
    return served;
  }

  /** Models with a ready version, sorted by name; versions newest first. */
  list(): readonly ServedModel[] {
    return [...this.#models.values()].sort((a, b) => (a.model < b.model ? -1 : 1));
  }

  ready(): readonly ReadyModel[] {
    return this.list().map(({ model, versions }) => ({ model, versions: versions.map(({ version }) => version) }));
  }

  /** Whether the store did not have it at the last look. */
  isGone(model: string): boolean {
    return !this.#published.has(model);
  }

  /** Versions that take long to load: whether they are served is still to be seen. */
  get trying(): readonly TriedVersion[] {
    return this.#loader.trying;
  }

  /**
   * Scans the store once: loads new versions, retires those that are too old or gone. Never throws.
   * @param asked resolves when this model is done, but for other versions that take long; others, which may take long to load, are scanned later. If it has a version, that is
   *   tried even if it was just refused for a temporary reason
   */
  async refresh(asked: AskedModel | null = null): Promise<void> {
    if (asked !== null) {
      const { model, version } = asked;
      await this.#lookAtOne(asked);
      const end = version === undefined ? undefined : this.#loader.tried({ model, version });
      if (end !== undefined) {
        // Not in the model's turn, so that others need not wait.
        await end;
        await this.#lookAtOne({ model });
      }
      if (!this.#isClosed) void this.#scanOnce();
      return;
    }
    // A running scan may miss the latest change.
    await this.#scan;
    await this.#scanOnce();
  }

  /** Stops watching and frees every version. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#isClosed = true;
    this.#loader.close();
    await this.#scan;
    await this.#looks.over();
    await this.#loader.over();
    for (const { versions } of this.#models.values()) for (const served of versions) served.retire();
    this.#models.clear();
  }

  #scanOnce(): Promise<void> {
    const { log, onChange } = this.#options;
    this.#scan ??= this.#scanStore()
      .catch((error: unknown) => log.error({ err: error }, 'looking through the store failed'))
      .finally(() => {
        this.#scan = undefined;
        onChange(this.#models.size);
      });
    return this.#scan;
  }

  async #scanStore(): Promise<void> {
    this.#lookedAt.clear();
    const listing = await this.#list();
    if (listing === undefined) return;
    this.#reportSkipped(listing);
    const { models: published, passedOver } = listing;
    // The served models of an unreadable folder stay, since it may become readable again.
    const unreadable = passedOver.filter(({ version }) => version === undefined);
    const names = new Set([...published, ...unreadable].map(({ model }) => model));
    this.#published = names;
    this.#loader.keepOnly(published);
    for (const { model } of published) this.#expect(model);
    const looks = new Set<Promise<void>>();
    for (const { model, versions } of published) {
      while (looks.size >= this.#loader.lookCountMax) await Promise.race(looks);
      const look: Promise<void> = this.#lookInScan(model, versions).finally(() => looks.delete(look));
      looks.add(look);
    }
    await Promise.all(looks);
    await this.#dropGone(names);
  }

  #lookInScan(model: string, versions: readonly number[]): Promise<void> {
    return this.#looks.take(model, async () => {
      if (this.#lookedAt.has(model)) return;
      const before = this.#told(model);
      await this.#refreshModel(model, versions);
      // The end of the scan may be far.
      if (this.#loader.lookCountMax > 1 && !isDeepStrictEqual(this.#told(model), before)) {
        this.#options.onChange(this.#models.size);
      }
    });
  }

  /** What is told of a model: its versions that are ready, and those that take long. */
  #told(model: string): readonly unknown[] {
    const ready = this.#models.get(model)?.versions.map(({ version }) => version);
    return [ready, this.trying.filter((version) => version.model === model)];
  }

  #lookAtOne({ model, version }: AskedModel): Promise<void> {
    return this.#looks.take(model, async () => {
      const versions = (await this.#list())?.models.find((found) => found.model === model)?.versions;
      // If it is gone, the next scan drops it.
      if (versions === undefined) return;
      this.#published.add(model);
      this.#lookedAt.add(model);
      if (version !== undefined) this.#loader.retry({ model, version });
      this.#expect(model);
      await this.#refreshModel(model, versions);
      this.#options.onChange(this.#models.size);
    });
  }

  /** A version that took long may be served from now on. */
  async #lookAtTried(tried: TriedVersion): Promise<void> {
    if (this.#isClosed) return;
    await this.#lookAtOne({ model: tried.model });
    this.#loader.forget(tried);
    // The model may be gone.
    this.#options.onChange(this.#models.size);
  }

  /** Undefined if the store cannot be read: logged once, not at every look; served models stay. */
  async #list(): Promise<StoreListing | undefined> {
    const { config, log } = this.#options;
    try {
      const listing = await listStore(config.store);
      this.#isStoreMissing = false;
      return listing;
    } catch (error) {
      if (!this.#isStoreMissing) log.warn({ reason: (error as Error).message }, 'the store cannot be read');
      this.#isStoreMissing = true;
      return undefined;
    }
  }

  /** Until it is looked at, a model that is not known yet is loading. */
  #expect(model: string): void {
    if (!this.#models.has(model) && !this.#unready.has(model)) this.#loading.add(model);
  }

  /** Reports each skipped folder once, and again when the reason changes. */
  #reportSkipped({ passedOver }: StoreListing): void {
    const { log, onLoad } = this.#options;
    const keyOf = ({ directory, reason }: (typeof passedOver)[number]) => `${directory}: ${reason}`;
    for (const folder of passedOver) {
      const { directory, reason, model, version } = folder;
      if (this.#skipped.has(keyOf(folder))) continue;
      if (model === undefined || version === undefined) {
        log.warn({ directory, reason }, 'folder of the store passed over');
        continue;
      }
      log.error({ model, version, directory, reason }, 'model version refused');
      onLoad('refused', model);
    }
    this.#skipped = new Set(passedOver.map(keyOf));
  }

  /**
   * Serves the newest `versionCountMax` versions that load, and those with a label. None without a routing: nobody knows which are
   * withheld. Never throws.
   */
  async #refreshModel(model: string, published: readonly number[]): Promise<void> {
    try {
      await this.#loadModel(model, published);
    } catch (error) {
      this.#options.log.error({ err: error, model }, 'looking at a model failed');
      this.#loading.delete(model);
    }
  }

  async #loadModel(model: string, published: readonly number[]): Promise<void> {
    const current = this.#models.get(model)?.versions ?? [];
    const routing = await this.#routingOf(model);
    if (routing === undefined) {
      this.#unready.set(model, []);
      this.#loading.delete(model);
      return;
    }
    const labelled = new Set(Object.values(routing.labels));
    const withheld = new Set(routing.withheld);
    const next: ServedVersion[] = [];
    const newestFirst = [...published].sort((a, b) => b - a);
    for (const version of newestFirst) {
      if (withheld.has(version)) continue;
      if (next.length >= this.#options.config.versionCountMax && !labelled.has(version)) continue;
      const served = await this.#loader.versionOf(model, version, current);
      if (served !== undefined) next.push(served);
    }
    for (const served of current) if (!next.includes(served)) served.retire();
    // One of them may have been withdrawn while another was loaded.
    const versions = next.filter((served) => !this.#loader.isWithdrawn(served));
    this.#serve({ model, routing, versions }, newestFirst.every((version) => withheld.has(version)) ? newestFirst : []);
  }

  /** @param withheld as #unready has them */
  #serve(served: ServedModel, withheld: readonly number[] = []): void {
    const { model, versions } = served;
    this.#models.delete(model);
    this.#unready.delete(model);
    this.#loading.delete(model);
    if (versions.length > 0) this.#models.set(model, served);
    else if (withheld.length === 0 && this.trying.some((other) => other.model === model)) this.#loading.add(model);
    else this.#unready.set(model, withheld);
  }

  #withdraw(withdrawn: ServedVersion): void {
    const served = this.#models.get(withdrawn.model);
    if (served?.versions.includes(withdrawn)) {
      this.#serve({ ...served, versions: served.versions.filter((version) => version !== withdrawn) });
    }
    withdrawn.retire();
    this.#options.onChange(this.#models.size);
  }

  /** A model's routing. If the file is damaged, the former one; undefined if none was read since the start. */
  async #routingOf(model: string): Promise<Routing | undefined> {
    const { config, log, onLabels } = this.#options;
    const former = this.#routings.get(model);
    try {
      const routing = await readRouting(config.store, model);
      this.#labelFaults.delete(model);
      this.#routings.set(model, routing);
      if (former !== undefined && !isDeepStrictEqual(routing, former)) onLabels('loaded');
      return routing;
    } catch (error) {
      const reason = (error as Error).message;
      if (this.#labelFaults.get(model) !== reason) {
        const served = former === undefined ? 'none' : 'as the labels said before';
        log.error(
          { model, file: routingFile(config.store, model), reason, served, remedy: labelsRemedy },
          'labels refused',
        );
        onLabels('refused');
      }
      this.#labelFaults.set(model, reason);
      return former;
    }
  }

  async #dropGone(names: ReadonlySet<string | undefined>): Promise<void> {
    const known = [this.#models, this.#unready, this.#routings, this.#labelFaults];
    const gone = new Set(known.flatMap((some) => [...some.keys()]).filter((model) => !names.has(model)));
    for (const model of gone) {
      await this.#looks.take(model, async () => {
        if (!this.#lookedAt.has(model)) this.#drop(model);
      });
    }
  }

  #drop(model: string): void {
    const versions = this.#models.get(model)?.versions;
    for (const known of [this.#models, this.#unready, this.#loading, this.#routings, this.#labelFaults]) {
      known.delete(model);
    }
    if (versions === undefined) return;
    for (const served of versions) served.retire();
    this.#options.log.info({ model }, 'model gone from the store');
  }
}
