/**
 * Contexts that the server keeps for its clients, by handle: Adapt makes them from experience, and Act uses them. They are files in the
 * spool, which every process of the server reads; recently used ones are also in memory.
 *
 * The context of a handle never changes, so memory and file always agree. Each process bounds its own files: those that it wrote, and
 * those of the process that it replaced. With P processes, each has 1/P of the bounds. A context expires by its last use in any
 * process. A use is written to the file once in a twentieth of the time to live, so a context may live that much longer.
 */

import { deserialize, serialize } from 'node:v8';
import { resourceExhausted } from '../../src/contract/errors.ts';
import { LruMap } from '../../src/contract/lru-map.ts';
import { isFullDisk } from '../../src/files/folders.ts';
import type { Spool } from '../../src/files/spool.ts';
import type { HandleContext } from './handle-context.ts';
import { isOfOtherServer, newHandle, serverMark } from './handle-name.ts';

export type HandleStoreOptions = {
  readonly spool: Spool;
  /** Whether a file of this name belongs to this process; true for one of P random handles if P processes share the spool. */
  readonly isOwn?: (name: string) => boolean;
  readonly timeToLiveMs: number;
  /** Most files of this process. */
  readonly countMax: number;
  readonly bytesMax: number;
  /** For contexts in memory. */
  readonly cacheBytesMax: number;
  /** Milliseconds, not going backwards, the same in all processes that share the spool. */
  readonly clock: () => number;
  /** Called when a sweep fails; it is tried again. */
  readonly onFault?: (error: unknown) => void;
};

/** A context in memory. `notedAtMs` is the time of the last use in its file. */
type CachedContext = {
  readonly context: HandleContext;
  readonly bytes: number;
  usedAtMs: number;
  notedAtMs: number;
};

/** A file of this process, which counts against its bounds. */
type OwnFile = { readonly bytes: number; usedAtMs: number; isPending: boolean };

const handlePattern = /^[0-9a-f]{32}$/;
const sweepMsMin = 1000;

export class HandleStore {
  /** Contexts dropped by this process. */
  readonly counts = { expiredCount: 0, evictedCount: 0 };
  /** Least time that an unused context is kept. */
  readonly timeToLiveMs: number;
  readonly #options: HandleStoreOptions;
  readonly #spool: Spool;
  readonly #clock: () => number;
  readonly #isOwn: (name: string) => boolean;
  readonly #mark: string;
  /** Interval between two notes of uses in a file. */
  readonly #noteMs: number;
  readonly #cache = new LruMap<CachedContext>(({ bytes }) => bytes);
  readonly #own = new LruMap<OwnFile>(({ bytes }) => bytes);
  readonly #timer: NodeJS.Timeout;

  constructor(options: HandleStoreOptions) {
    const { spool, timeToLiveMs, clock, onFault = () => {}, isOwn = () => true } = options;
    this.timeToLiveMs = timeToLiveMs;
    this.#options = options;
    this.#spool = spool;
    this.#clock = clock;
    this.#isOwn = isOwn;
    this.#mark = serverMark(spool.directory);
    this.#noteMs = timeToLiveMs / 20;
    const everyMs = Math.min(Math.max(sweepMsMin, timeToLiveMs / 4), 2 ** 31 - 1);
    this.#timer = setInterval(() => void this.sweep().catch(onFault), everyMs).unref();
  }

  /** Number of this process's files. */
  get entryCount(): number {
    return this.#own.size;
  }

  get bytes(): number {
    return this.#own.bytes;
  }

  /** Of the contexts in memory. */
  get cacheBytes(): number {
    return this.#cache.bytes;
  }

  /**
   * Keeps a context; the least recently used make room.
   * @returns its handle, as newHandle; up to 6 of its random bits name the process if there are several
   * @throws HyperpolicyError resource_exhausted: larger than the whole spool; the disk is full
   */
  async put(context: HandleContext): Promise<string> {
    const { countMax, bytesMax } = this.#options;
    const content = serialize(context);
    const bytes = content.byteLength;
    if (bytes > bytesMax) throw tooLarge(bytes, bytesMax);
    if (!this.#makeRoom(bytes)) throw noRoom(countMax, bytesMax);
    const handle = this.#newHandle();
    const nowMs = this.#clock();
    // Counted before it is written, so that concurrent writes keep the bounds.
    const file = { bytes, usedAtMs: nowMs, isPending: true };
    this.#own.set(handle, file);
    try {
      await this.#spool.write(handle, content, nowMs);
    } catch (error) {
      this.#forget(handle);
      throw asWriteError(error);
    }
    file.isPending = false;
    this.#cacheContext(handle, { context, bytes, usedAtMs: nowMs, notedAtMs: nowMs });
    return handle;
  }

  isOfOtherServer(handle: string): boolean {
    return isOfOtherServer(handle, this.#mark);
  }

  /** The context of a handle, which becomes the most recently used; undefined if it is unknown or expired. */
  get(handle: string): HandleContext | undefined {
    const entry = this.#cache.get(handle) ?? this.#readEntry(handle);
    if (entry === undefined) return undefined;
    if (this.#noteUse(handle, entry)) return entry.context;
    this.#drop(handle, 'expiredCount');
    return undefined;
  }

  /** Takes over the files of the process that this one replaces. Call it before the first `put`. */
  async adopt(): Promise<void> {
    const found = (await this.#spool.list()).filter(({ name }) => this.#isOwn(name));
    for (const { name, bytes, usedAtMs } of found.sort((one, other) => one.usedAtMs - other.usedAtMs)) {
      if (handlePattern.test(name)) this.#own.set(name, { bytes, usedAtMs, isPending: false });
      // The process died while it wrote this.
      else this.#spool.remove(name);
    }
  }

  /** Removes expired files of all processes. */
  async sweep(): Promise<void> {
    const nowMs = this.#clock();
    // Files that are written from here on may be missing in the list.
    const written = [...this.#own].filter(([, { isPending }]) => !isPending);
    const names = new Set<string>();
    for (const { name, usedAtMs } of await this.#spool.list()) {
      names.add(name);
      // What is being written has the time of the file system.
      const clockMs = handlePattern.test(name) ? nowMs : Date.now();
      if (this.#isExpired(usedAtMs, clockMs)) this.#drop(name, 'expiredCount');
    }
    // Files that another process removed.
    for (const [handle] of written) if (!names.has(handle)) this.#forget(handle);
  }

  /** Stops sweeping. */
  close(): void {
    clearInterval(this.#timer);
    this.#spool.close();
  }

  #newHandle(): string {
    for (;;) {
      const handle = newHandle(this.#mark);
      if (this.#isOwn(handle)) return handle;
    }
  }

  /** Drops the least recently used own files until there is room for one more of this size; false if that is not enough. */
  #makeRoom(bytes: number): boolean {
    const { countMax, bytesMax } = this.#options;
    const hasRoom = () => this.#own.size < countMax && this.#own.bytes + bytes <= bytesMax;
    for (const [handle, file] of this.#own) {
      if (hasRoom()) return true;
      if (file.isPending) continue;
      // It may have been used in another process.
      const usedAtMs = this.#spool.usedAtMs(handle);
      if (usedAtMs !== undefined && usedAtMs > file.usedAtMs) this.#touchOwn(handle, usedAtMs);
      // One whose time is over is no loss: the next sweep would have had it.
      else this.#drop(handle, this.#isExpired(file.usedAtMs, this.#clock()) ? 'expiredCount' : 'evictedCount');
    }
    return hasRoom();
  }

  /** The least recently used make room. A context larger than the whole cache is not kept. */
  #cacheContext(handle: string, entry: CachedContext): void {
    const { cacheBytesMax } = this.#options;
    if (entry.bytes > cacheBytesMax) return;
    this.#cache.set(handle, entry);
    this.#cache.evict(() => this.#cache.bytes > cacheBytesMax);
  }

  #isExpired(usedAtMs: number, nowMs: number): boolean {
    return nowMs - usedAtMs > this.timeToLiveMs + this.#noteMs;
  }

  /** Reads a context from its file into memory; undefined if there is none. */
  #readEntry(handle: string): CachedContext | undefined {
    if (!handlePattern.test(handle)) return undefined;
    const usedAtMs = this.#spool.usedAtMs(handle);
    const content = usedAtMs === undefined ? undefined : this.#spool.read(handle);
    if (usedAtMs === undefined || content === undefined) {
      this.#forget(handle);
      return undefined;
    }
    const context = deserialize(content) as HandleContext;
    const entry = { context, bytes: content.byteLength, usedAtMs, notedAtMs: usedAtMs };
    this.#cacheContext(handle, entry);
    return entry;
  }

  /** Notes a use of a context in memory; false if its file is gone or has expired. */
  #noteUse(handle: string, entry: CachedContext): boolean {
    const nowMs = this.#clock();
    if (nowMs - entry.usedAtMs > this.timeToLiveMs) {
      const usedAtMs = this.#spool.usedAtMs(handle);
      if (usedAtMs === undefined || this.#isExpired(usedAtMs, nowMs)) return false;
    }
    if (nowMs - entry.notedAtMs >= this.#noteMs) {
      if (!this.#spool.touch(handle, nowMs)) return false;
      entry.notedAtMs = nowMs;
    }
    entry.usedAtMs = nowMs;
    this.#touchOwn(handle, nowMs);
    return true;
  }

  /** Notes a use of a file if it is this process's own. */
  #touchOwn(handle: string, usedAtMs: number): void {
    const file = this.#own.get(handle);
    if (file !== undefined) file.usedAtMs = usedAtMs;
  }

  #drop(handle: string, reason: keyof HandleStore['counts']): void {
    if (this.#spool.remove(handle)) this.counts[reason]++;
    this.#forget(handle);
  }

  /** Forgets a context whose file is gone. */
  #forget(handle: string): void {
    this.#cache.delete(handle);
    this.#own.delete(handle);
  }
}

const tooLarge = (bytes: number, bytesMax: number) =>
  resourceExhausted({
    where: 'context handles',
    expected: `at most ${bytesMax} bytes, the part of one process`,
    actual: `${bytes} for one context`,
    remedy: 'Allow more with --handle-spool-mib',
  });

const noRoom = (countMax: number, bytesMax: number) =>
  resourceExhausted({
    where: 'context handles',
    expected: `at most ${countMax} in ${bytesMax} bytes in one process`,
    actual: 'more that are being written at once',
    remedy: 'Retry with backoff',
  });

/** A full disk is RESOURCE_EXHAUSTED, since the client can wait; anything else is a fault. */
function asWriteError(cause: unknown): unknown {
  if (!isFullDisk(cause)) return cause;
  return resourceExhausted({
    where: 'context handles',
    expected: 'room on the disk of the spool',
    actual: 'a full one',
    remedy: 'Retry with backoff',
    cause,
  });
}
