/**
 * Contexts that the server holds for its clients, by handle: what Adapt made of experience, and Act answers with. They lie in the
 * spool, where every process of the server finds them; what was used lately is also in memory.
 *
 * What a handle names never changes, so memory and file always agree. A process bounds its own files, those that it wrote and
 * those of the process whose place it took: with P processes each has a P-th of the bounds. Expiry is by last use in any process, noted
 * every twentieth of the time to live: a context lives that much longer than promised, at most.
 */

import { randomBytes } from 'node:crypto';
import { deserialize, serialize } from 'node:v8';
import { resourceExhausted } from '../../src/contract/errors.ts';
import type { Spool } from './handle-spool.ts';

/** Whose a context is, and what it fits. */
export type Binding = {
  readonly model: string;
  readonly version: number;
  /** Tells two packages of one version number apart. */
  readonly publishedAtMs: number;
  /** Name of the caller's token; empty where callers are not told apart. */
  readonly caller: string;
};

/** A Gaussian over a latent context as sums over transitions, and the context that was drawn from it. */
export type PosteriorState = {
  readonly kind: 'posterior';
  readonly transitionCount: number;
  readonly precision: Float64Array; // [C]
  readonly weightedMean: Float64Array; // [C], precision x mean
  readonly context: Float32Array; // [C]
};

/** Generated weights after some inner steps. */
export type WeightsState = {
  readonly kind: 'weights';
  readonly stepCount: number;
  /** That the weights were generated from. */
  readonly context: Float32Array; // [C]
  /** In the layout of the policy's generated weights. */
  readonly block: Float32Array;
};

export type HeldContext = { readonly binding: Binding; readonly state: PosteriorState | WeightsState };

export type HandleStore = {
  /**
   * Keeps a context; those used longest ago make room.
   * @returns its handle: 128 random bits, with several processes random but for whose it is (6 bits at most)
   * @throws HyperpolicyError resource_exhausted: larger than the whole spool; the disk is full
   */
  put(held: HeldContext): Promise<string>;
  /** The context of a handle, now used most recently; undefined where it is unknown or expired. */
  get(handle: string): HeldContext | undefined;
  /** Takes over the files of a process that has died and whose place this one takes; to be called before the first `put`. */
  adopt(): Promise<void>;
  /** Removes what has expired, whoever wrote it. */
  sweep(): Promise<void>;
  /** Stops sweeping. */
  close(): void;
  /** How long a context is kept without use, at least. */
  readonly timeToLiveMs: number;
  /** Of this process's files. */
  readonly entryCount: number;
  readonly bytes: number;
  /** Dropped by this process. */
  readonly counts: { readonly expiredCount: number; readonly evictedCount: number };
};

export type HandleStoreOptions = {
  readonly spool: Spool;
  /** Whether a file of this name is this process's own, which holds of one random handle in as many as share the spool. */
  readonly isOwn?: (name: string) => boolean;
  readonly timeToLiveMs: number;
  /** Files that this process may have. */
  readonly countMax: number;
  readonly bytesMax: number;
  /** Of the contexts in memory. */
  readonly cacheBytesMax: number;
  /** Milliseconds of the wall clock, which processes share; `Date.now` unless a test has its own. */
  readonly clock?: () => number;
  /** Told where sweeping fails; it is tried again. */
  readonly onFault?: (error: unknown) => void;
};

/** In memory. `notedAtMs`: the last use that the file shows. */
type Cached = { readonly held: HeldContext; readonly bytes: number; usedAtMs: number; notedAtMs: number };
/** A file of this process. */
type Own = { readonly bytes: number; usedAtMs: number; isPending: boolean };

const handlePattern = /^[0-9a-f]{32}$/;
const sweepMsMin = 1000;

export function createHandleStore(options: HandleStoreOptions): HandleStore {
  const { spool, timeToLiveMs, countMax, bytesMax, cacheBytesMax } = options;
  const { clock = Date.now, onFault = () => {}, isOwn = () => true } = options;
  const noteMs = timeToLiveMs / 20;
  // Maps iterate in order of insertion: the first entry is the one used longest ago.
  const cache = new Map<string, Cached>();
  const own = new Map<string, Own>();
  const counts = { expiredCount: 0, evictedCount: 0 };
  let cacheBytes = 0;
  let ownBytes = 0;

  const isExpired = (usedAtMs: number, nowMs: number) => nowMs - usedAtMs > timeToLiveMs + noteMs;

  /** Forgets a context whose file is gone. */
  function forget(handle: string): void {
    const cached = cache.get(handle);
    if (cached !== undefined) {
      cache.delete(handle);
      cacheBytes -= cached.bytes;
    }
    const file = own.get(handle);
    if (file !== undefined) {
      own.delete(handle);
      ownBytes -= file.bytes;
    }
  }

  function drop(handle: string, reason: 'expiredCount' | 'evictedCount'): void {
    if (spool.remove(handle)) counts[reason]++;
    forget(handle);
  }

  function remember(handle: string, entry: Cached): void {
    if (entry.bytes > cacheBytesMax) return;
    cache.set(handle, entry);
    cacheBytes += entry.bytes;
    for (const [oldest, { bytes }] of cache) {
      if (cacheBytes <= cacheBytesMax) return;
      cache.delete(oldest);
      cacheBytes -= bytes;
    }
  }

  /** Drops own files until there is room for one more of this size. */
  function makeRoom(bytes: number): void {
    const hasRoom = () => own.size < countMax && ownBytes + bytes <= bytesMax;
    for (const [handle, file] of own) {
      if (hasRoom()) return;
      if (file.isPending) continue;
      // It may have been used in another process.
      const usedAtMs = spool.usedAtMs(handle);
      if (usedAtMs !== undefined && usedAtMs > file.usedAtMs) {
        file.usedAtMs = usedAtMs;
        moveToEnd(own, handle, file);
      } else {
        drop(handle, 'evictedCount');
      }
    }
    if (!hasRoom()) throw noRoom(countMax, bytesMax);
  }

  /** A use that memory knows of; false where the file is gone or has expired. */
  function noteUse(handle: string, entry: Cached): boolean {
    const nowMs = clock();
    if (nowMs - entry.usedAtMs > timeToLiveMs) {
      const usedAtMs = spool.usedAtMs(handle);
      if (usedAtMs === undefined || isExpired(usedAtMs, nowMs)) return false;
    }
    if (nowMs - entry.notedAtMs >= noteMs) {
      if (!spool.touch(handle, nowMs)) return false;
      entry.notedAtMs = nowMs;
    }
    entry.usedAtMs = nowMs;
    if (cache.has(handle)) moveToEnd(cache, handle, entry);
    const file = own.get(handle);
    if (file !== undefined) {
      file.usedAtMs = nowMs;
      moveToEnd(own, handle, file);
    }
    return true;
  }

  function fromSpool(handle: string): HeldContext | undefined {
    const usedAtMs = spool.usedAtMs(handle);
    const content = usedAtMs === undefined ? undefined : spool.read(handle);
    if (usedAtMs === undefined || content === undefined) {
      forget(handle);
      return undefined;
    }
    const held = deserialize(content) as HeldContext;
    const entry = { held, bytes: content.byteLength, usedAtMs, notedAtMs: usedAtMs };
    if (isExpired(usedAtMs, clock()) || !noteUse(handle, entry)) {
      drop(handle, 'expiredCount');
      return undefined;
    }
    remember(handle, entry);
    return held;
  }

  async function sweep(): Promise<void> {
    const nowMs = clock();
    // What is written from here on need not be in the list.
    const written = [...own.keys()].filter((handle) => !own.get(handle)!.isPending);
    const files = await spool.list();
    const names = new Set<string>();
    for (const { name, usedAtMs } of files) {
      names.add(name);
      if (isExpired(usedAtMs, nowMs)) drop(name, 'expiredCount');
    }
    // Files that another process removed.
    for (const handle of written) if (!names.has(handle)) forget(handle);
  }

  const timer = setInterval(
    () => void sweep().catch(onFault),
    Math.min(Math.max(sweepMsMin, timeToLiveMs / 4), 2 ** 31 - 1),
  );
  timer.unref();

  return {
    timeToLiveMs,
    counts,
    async put(held) {
      const content = serialize(held);
      const bytes = content.byteLength;
      if (bytes > bytesMax) throw tooLarge(bytes, bytesMax);
      makeRoom(bytes);
      let handle: string;
      do handle = randomBytes(16).toString('hex');
      while (!isOwn(handle));
      const nowMs = clock();
      // Counted before it is written, so that writes at the same time keep the bounds.
      const file = { bytes, usedAtMs: nowMs, isPending: true };
      own.set(handle, file);
      ownBytes += bytes;
      try {
        await spool.write(handle, content, nowMs);
      } catch (error) {
        forget(handle);
        throw asWriteError(error);
      }
      file.isPending = false;
      remember(handle, { held, bytes, usedAtMs: nowMs, notedAtMs: nowMs });
      return handle;
    },
    get(handle) {
      const entry = cache.get(handle);
      if (entry === undefined) return handlePattern.test(handle) ? fromSpool(handle) : undefined;
      if (noteUse(handle, entry)) return entry.held;
      drop(handle, 'expiredCount');
      return undefined;
    },
    async adopt() {
      const found = (await spool.list()).filter(({ name }) => isOwn(name));
      for (const { name, bytes, usedAtMs } of found.sort((one, other) => one.usedAtMs - other.usedAtMs)) {
        if (handlePattern.test(name)) {
          own.set(name, { bytes, usedAtMs, isPending: false });
          ownBytes += bytes;
        } else {
          // It died while it wrote this.
          spool.remove(name);
        }
      }
    },
    sweep,
    close() {
      clearInterval(timer);
      spool.close();
    },
    get entryCount() {
      return own.size;
    },
    get bytes() {
      return ownBytes;
    },
  };
}

function moveToEnd<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
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

/** A full disk is the client's to wait for; anything else is a fault. */
function asWriteError(cause: unknown): unknown {
  const { code } = cause as NodeJS.ErrnoException;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return cause;
  return resourceExhausted({
    where: 'context handles',
    expected: 'room on the disk of the spool',
    actual: 'a full one',
    remedy: 'Retry with backoff',
    cause,
  });
}
