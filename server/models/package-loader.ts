/**
 * Loads packages of the store. A refused package is tried again when its files change, or after a delay if the reason may be temporary:
 * no memory, too many open files, no right to read. Nobody waits for a version whose runs may not end: it is tried beside all else.
 */

import { join } from 'node:path';
import type { Logger } from 'pino';
import { HyperpolicyError, resourceExhausted } from '../../src/contract/errors.ts';
import { type Device, isMissingForAll, missingDevice } from '../../src/onnx/providers.ts';
import { slowMs } from '../../src/onnx/worker-threads.ts';
import { createTurns } from '../../src/pacing/turns.ts';
import { type PackageIndex, readPackageIndex } from '../../src/package/package.ts';
import { identityOf, stateOf } from '../../src/package/package-state.ts';
import { carryOver } from './carry-over.ts';
import { type Found, Load, type TriedVersion } from './load.ts';
import { isPassing, type Refusal } from './refusal.ts';
import { type OpenVersionOptions, openVersion, type ServedVersion } from './served-version.ts';

type LoadListener = (result: 'loaded' | 'refused' | 'withdrawn', model: string) => void;

export type PackageLoaderOptions = {
  readonly store: string;
  /** What every version is opened with. */
  readonly networks: Omit<OpenVersionOptions, 'keyPrefix' | 'restRatio' | 'device' | 'onLost' | 'onSlow'>;
  /** A thread of its own, for the first runs of a version beside requests: it can be given up without harm to anybody. */
  readonly openTrial: () => Trial;
  /** Threads that are in runs that do not end, and with how many of them nothing more is loaded. */
  readonly stuckCount: () => number;
  readonly stuckCountMax: number;
  /** To try in turn: a version that one of them refuses may be served on the next. */
  readonly devices: readonly Device[];
  readonly log: Logger;
  readonly onLoad: LoadListener;
  /** Called if a device refused a version and the next one serves it. */
  readonly onDeviceFallback: (model: string, refusedBy: Device) => void;
  /** A version that was loaded is of no more use, as a run of it did not end in time. It is not loaded again while its files are the same, unless asked for. */
  readonly onWithdrawn: (served: ServedVersion) => void;
  /** A version that was still being tried when `versionOf` gave up waiting is loaded or refused: `versionOf` tells. */
  readonly onTried: (tried: TriedVersion) => void;
  /** The newest version of a model that is served, if any. */
  readonly newestOf: (model: string) => ServedVersion | undefined;
};

/** A model that an admin changes, with the version that is to be ready then. */
export type AskedModel = { readonly model: string; readonly version?: number };

/** Where a version is opened once before it is opened for requests. */
export type Trial = Pick<OpenVersionOptions, 'pool'> & { close(): Promise<void> };

/** Beside requests: a version is loaded with a quarter of one core. */
const restRatio = 3;
/** Versions that are tried at once, beside those that take long. Each needs the memory of its graphs. */
const trialCountMax = 4;
/** After so many versions that take long the start waits for no more: each costs it `slowMs`, unless they are tried at once. */
const slowStartCountMax = 3;
/** Delay after a refusal with a temporary reason; it doubles each time. */
const retryMsMin = 1000;
const retryMsMax = 60_000;

export class PackageLoader {
  readonly #options: PackageLoaderOptions;
  /** What each version was loaded from. */
  readonly #sources = new WeakMap<ServedVersion, Found>();
  /** Packages that were refused, by directory. */
  readonly #refused = new Map<string, Refusal>();
  /** Devices that no version can be opened on, with what is missing. */
  readonly #missing = new Map<Device, string>();
  /** By directory: loads that are under way, or whose result nobody has asked for yet. */
  readonly #loads = new Map<string, Load>();
  readonly #trials = createTurns(trialCountMax);
  /** On the threads that requests use: one at once, as loading takes them a quarter of one core. */
  readonly #openings = createTurns(1);
  /** Resolves when so many versions have held up the start that it is to wait for no more. */
  readonly heldUp: Promise<void>;
  #tellHeldUp = () => {};
  /** Their directories. */
  readonly #heldUpBy = new Set<string>();
  #loadCount = 0;
  #hasRequests = false;
  #isClosed = false;

  constructor(options: PackageLoaderOptions) {
    this.#options = options;
    this.heldUp = new Promise((resolve) => {
      this.#tellHeldUp = resolve;
    });
  }

  /** From now on loading leaves time for requests. */
  yieldToRequests(): void {
    this.#hasRequests = true;
  }

  /** Ends the carry-over of contexts, which may take long, gives up versions that take long, and starts no further load. */
  close(): void {
    this.#isClosed = true;
  }

  /** Resolves when no load is under way, and frees what they loaded. To be called after `close`. */
  async over(): Promise<void> {
    for (const load of [...this.#loads.values()]) {
      await load.end;
      this.forget(load.found);
    }
  }

  /** Versions that take long: nobody waits for them. */
  get trying(): readonly TriedVersion[] {
    return [...this.#loads.values()]
      .filter(({ isSlow, isOver }) => isSlow && !isOver)
      .map(({ found: { model, version } }) => ({ model, version }));
  }

  /** So many models are to be looked at at once: where a version hangs, the next may, too, and others would wait. Else loads only compete. */
  get lookCountMax(): number {
    return this.#anyHangs ? trialCountMax : 1;
  }

  /** A thread that was given up may stay so until the end, so beside requests it counts no more: only versions that are being tried do. */
  get #anyHangs(): boolean {
    return this.trying.length > 0 || (!this.#hasRequests && this.#options.stuckCount() > 0);
  }

  /** Resolves when a version is tried to its end, which `versionOf` may not wait for. Undefined where it has told already. */
  tried({ model, version }: TriedVersion): Promise<void> | undefined {
    return this.#loads.get(this.#directoryOf(model, version))?.end;
  }

  /** Frees a version that was loaded and that nobody has asked for since. */
  forget({ model, version }: TriedVersion): void {
    const directory = this.#directoryOf(model, version);
    const load = this.#loads.get(directory);
    if (load?.isOver !== true) return;
    this.#loads.delete(directory);
    load.served?.retire();
  }

  /**
   * A version: that of `current` if its package has not changed, else a newly loaded one, with the contexts of the newest that is served.
   * If the new package does not load, or takes long, the version of `current` stays.
   * @returns undefined if the package is refused, while it takes long, and after `close`
   */
  async versionOf(
    model: string,
    version: number,
    current: readonly ServedVersion[],
  ): Promise<ServedVersion | undefined> {
    const directory = this.#directoryOf(model, version);
    const former = current.find((other) => other.version === version && !this.isWithdrawn(other));
    if (!this.#loads.has(directory)) {
      const identity = await identityOf(directory);
      if (former !== undefined && this.#sources.get(former)?.identity === identity) return former;
      const state = await stateOf(directory);
      const known = this.#refused.get(directory);
      const refusal = known?.state === state ? known : undefined;
      if (this.#isClosed || (refusal !== undefined && performance.now() < refusal.retryAtMs)) return former;
      this.#begin({ model, version, directory, identity, state }, refusal);
    }
    const load = this.#loads.get(directory)!;
    await Promise.race([load.end, load.slow]);
    if (!load.isOver) return former;
    this.#loads.delete(directory);
    return load.served ?? former;
  }

  #directoryOf(model: string, version: number): string {
    return join(this.#options.store, model, String(version));
  }

  /** The next scan tries this version if it was withdrawn, or refused for a temporary reason, without the rest of the delay. */
  retry({ model, version }: TriedVersion): void {
    const directory = this.#directoryOf(model, version);
    const refusal = this.#refused.get(directory);
    if (refusal?.wasServed === true || refusal?.delayMs !== Infinity) this.#refused.delete(directory);
  }

  /** Whether a version is not to be served any more, as a run of it did not end in time. */
  isWithdrawn(served: ServedVersion): boolean {
    return this.#sources.get(served)?.lost !== undefined;
  }

  /** Forgets the refusals of packages that are not in the store any more. */
  keepOnly(published: readonly { readonly model: string; readonly versions: readonly number[] }[]): void {
    const { store } = this.#options;
    const directories = new Set(
      published.flatMap(({ model, versions }) => versions.map((version) => join(store, model, String(version)))),
    );
    for (const directory of this.#refused.keys()) if (!directories.has(directory)) this.#refused.delete(directory);
  }

  #begin(found: Found, refusal: Refusal | undefined): void {
    const load = new Load(found);
    this.#loads.set(found.directory, load);
    const refuse = (error: unknown) => this.#refuse(found, error, refusal);
    load.end = this.#load(load)
      .catch(refuse)
      .then((served) => {
        load.served = served;
        load.isOver = true;
        if (load.isSlow) this.#options.onTried(found);
      });
  }

  #refuse(found: Found, error: unknown, before: Refusal | undefined): undefined {
    // It was given up, or has no thread any more.
    if (this.#isClosed) return;
    const { model, version, directory, state } = found;
    const delayMs =
      found.lost === undefined && isPassing(error)
        ? Math.min(retryMsMax, 2 * (before?.delayMs ?? retryMsMin / 2))
        : Infinity;
    this.#refused.set(directory, { state, delayMs, retryAtMs: performance.now() + delayMs });
    const retry = delayMs === Infinity ? {} : { retryMs: delayMs };
    const { log, onLoad } = this.#options;
    const reason = error instanceof Error ? error.message : String(error);
    log.error({ model, version, directory, ...retry, reason }, 'model version refused');
    if (!(error instanceof HyperpolicyError)) log.error({ err: error }, 'cause of the refusal');
    onLoad('refused', model);
  }

  /** From now on nobody waits for it. */
  #noteSlow(load: Load): void {
    if (load.isSlow || load.isOver) return;
    load.noteSlow();
    this.#noteHeldUp(load.found);
    const { model, version, directory } = load.found;
    this.#options.log.warn({ model, version, directory, slowMs }, 'model version takes long: nothing waits for it');
  }

  /** It takes long, or was lost while it was opened. */
  #noteHeldUp({ directory }: Found): void {
    if (this.#hasRequests) return;
    this.#heldUpBy.add(directory);
    if (this.#heldUpBy.size >= slowStartCountMax) this.#tellHeldUp();
  }

  async #load(load: Load): Promise<ServedVersion> {
    const { log, onLoad } = this.#options;
    const { found } = load;
    const { model, version, directory } = found;
    const opened = await this.#openOnFirst(await readPackageIndex(directory), load);
    this.#sources.set(opened, found);
    // The newest now: others may have been served since this load began.
    const newest = this.#options.newestOf(model);
    const carrying = { restRatio, isOver: () => this.#isClosed, log };
    const contextCount = newest === undefined ? 0 : await carryOver(newest, opened, carrying);
    if (found.lost !== undefined) {
      opened.retire();
      throw found.lost;
    }
    found.served = opened;
    const { device, precision, policy, critic } = opened;
    // Of each network that may run fused: from how many new rows on.
    const fusedFrom = {
      policy: policy?.fused?.rowCountMin,
      critic: critic?.fused?.rowCountMin,
      ascent: critic?.fused?.ascents.rowCountMin,
    };
    log.info({ model, version, directory, contextCount, device, precision, fusedFrom }, 'model version ready');
    for (const network of ['policy', 'critic'] as const) {
      const reason = opened[network]?.notFused ?? opened[network]?.fused?.noAscents;
      const what = opened[network]?.fused === undefined ? 'new rows' : 'ascents at new rows';
      if (reason !== undefined) log.warn({ model, version, network, reason }, `${what} are not run fused`);
    }
    onLoad('loaded', model);
    return opened;
  }

  /** On the first device that serves it. One that is missing for all versions is not tried again. */
  async #openOnFirst(
    index: PackageIndex,
    load: Load,
    devices: readonly Device[] = this.#options.devices,
  ): Promise<ServedVersion> {
    this.#refuseIfStuck();
    const { log, onDeviceFallback } = this.#options;
    const { model, version } = load.found;
    const [device, ...others] = devices as readonly [Device, ...Device[]];
    try {
      const missing = this.#missing.get(device);
      if (missing !== undefined) throw missingDevice(`model "${model}" version ${version}`, device, missing);
      return await this.#openOn(device, index, load);
    } catch (error) {
      if (others.length === 0 || this.#isClosed) throw error;
      if (isMissingForAll(device, error)) this.#missing.set(device, error.actual);
      const opened = await this.#openOnFirst(index, load, others);
      const reason = (error as Error).message;
      log.warn({ model, version, device, next: opened.device, reason }, 'refused on a device');
      onDeviceFallback(model, device);
      return opened;
    }
  }

  /** A trial goes first, unless nobody would wait for runs that do not end. Then the version has only `slowMs`, and a trial after that. */
  async #openOn(device: Device, index: PackageIndex, load: Load): Promise<ServedVersion> {
    const { found } = load;
    delete found.lost;
    if (!this.#hasRequests && !this.#anyHangs) {
      try {
        return await this.#open(device, index, load, true);
      } catch (error) {
        if (found.lost === undefined || !load.isSlow || this.#isClosed) throw error;
        delete found.lost;
      }
    }
    await this.#tryAlone(device, index, load);
    return this.#open(device, index, load, false);
  }

  /** @param givesUp whether threads are given up if the version takes long */
  #open(device: Device, index: PackageIndex, load: Load, givesUp: boolean): Promise<ServedVersion> {
    return this.#openings(() =>
      openVersion(index, this.#openingOf(device, load, this.#options.networks.pool, givesUp)),
    );
  }

  #openingOf(device: Device, load: Load, pool: Trial['pool'], givesUp: boolean): OpenVersionOptions {
    return {
      ...this.#options.networks,
      pool,
      device,
      restRatio: this.#hasRequests ? restRatio : 0,
      keyPrefix: `${this.#loadCount++}/`,
      onLost: (reason) => {
        if (!load.isOver) this.#noteHeldUp(load.found);
        this.#lose(load.found, reason);
      },
      onSlow: () => {
        // A device compiles what it runs: its first steps may take long. And a second thread beside one that was given up may end the process.
        if (device !== 'cpu') return !load.isOver && this.#isClosed;
        this.#noteSlow(load);
        return !load.isOver && (this.#isClosed || givesUp);
      },
    };
  }

  /** All first runs, where no other version waits for them. One that takes long leaves its turn to the next. */
  async #tryAlone(device: Device, index: PackageIndex, load: Load): Promise<void> {
    let trial = Promise.resolve();
    await this.#trials(() => {
      trial = this.#tryOut(index, load, device);
      return Promise.race([trial, load.slow]);
    });
    await trial;
  }

  async #tryOut(index: PackageIndex, load: Load, device: Device): Promise<void> {
    const { pool, close } = this.#options.openTrial();
    try {
      (await openVersion(index, this.#openingOf(device, load, pool, false))).retire();
    } finally {
      await close();
    }
  }

  /** Each such thread keeps its core busy and the graphs of all versions in memory, so there is a last one. */
  #refuseIfStuck(): void {
    const { stuckCount, stuckCountMax } = this.#options;
    const count = stuckCount() + this.trying.length;
    if (count < stuckCountMax) return;
    throw resourceExhausted({
      where: 'threads in runs that do not end',
      expected: `fewer than ${stuckCountMax}`,
      actual: `${count}`,
      remedy: 'Remove the versions that were refused or withdrawn for that, and start the server again',
    });
  }

  #lose(found: Found, reason: Error): void {
    found.lost ??= reason;
    const { model, version, directory, state, served } = found;
    if (served === undefined) return;
    delete found.served;
    const { log, onLoad, onWithdrawn } = this.#options;
    this.#refused.set(directory, { state, delayMs: Infinity, retryAtMs: Infinity, wasServed: true });
    log.error({ model, version, directory, reason: reason.message }, 'model version withdrawn');
    onLoad('withdrawn', model);
    onWithdrawn(served);
  }
}
