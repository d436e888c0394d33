import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { parseServerConfig } from '../../../server/config.ts';
import type { HandleContext } from '../../../server/handles/handle-context.ts';
import { HandleStore, type HandleStoreOptions } from '../../../server/handles/handle-store.ts';
import { clockOffset, openHandles } from '../../../server/handles/open-handles.ts';
import { createSpoolDirectory, Spool } from '../../../src/files/spool.ts';

const minute = 60_000;
const timeToLiveMs = 10 * minute;
/** Whole seconds: what every file system can note. */
const startMs = 1_700_000_000_000;

/** About 4 kB in a file. */
const held = (mark: number): HandleContext => ({
  binding: { model: 'm', version: 1, publishedAtMs: 5, caller: 'robot' },
  state: { kind: 'weights', stepCount: 1, context: Float32Array.of(mark), block: new Float32Array(1000).fill(mark) },
});
const markOf = (found: HandleContext | undefined) => found?.state.context[0];

function openDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'hyperpolicy-test-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function openStore(directory: string, options: Partial<HandleStoreOptions> = {}) {
  const time = { nowMs: startMs };
  const store = new HandleStore({
    spool: new Spool({ directory }),
    timeToLiveMs,
    countMax: 100,
    bytesMax: 1e6,
    cacheBytesMax: 1e6,
    clock: () => time.nowMs,
    ...options,
  });
  onTestFinished(() => store.close());
  return { store, time };
}

describe('the spool', () => {
  /** A process with a directory of its own, which it says; it stays. */
  async function holder(parent: string) {
    const built = pathToFileURL(join(import.meta.dirname, '../../../dist/src/files/spool.js')).href;
    const code = `import { createSpoolDirectory } from ${JSON.stringify(built)};
      const { path } = await createSpoolDirectory(${JSON.stringify(parent)}, 'handles');
      process.stdout.write(path); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const [path] = (await once(child.stdout, 'data')) as [Buffer];
    return { child, path: path.toString() };
  }

  test('a new directory removes those of killed servers whatever process id they had, and no others', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'hyperpolicy-test-'));
    onTestFinished(() => rm(parent, { recursive: true }));
    const [killed, stopped] = [await holder(parent), await holder(parent)];
    const exited = once(killed.child, 'exit');
    killed.child.kill('SIGKILL');
    await exited;
    stopped.child.kill('SIGSTOP');
    // As in containers: the id of the dead one is that of a living process here, and the other way round.
    const rename = (path: string, pid: number | undefined) => {
      const renamed = path.replace(/-\d+-(?=\w+$)/, `-${pid}-`);
      renameSync(path, renamed);
      return renamed;
    };
    const dead = rename(killed.path, process.pid);
    const living = rename(stopped.path, killed.child.pid);
    await writeFile(join(dead, 'aa'), 'x');
    const foreign = join(parent, `hyperpolicy-handles-elsewhere-${killed.child.pid}-a`);
    const unknown = `${living}-without-a-socket`;
    const link = `${dead}-link`;
    await Promise.all([mkdir(foreign), mkdir(unknown), symlink(dead, link)]);
    const next = await createSpoolDirectory(parent, 'handles');
    const left = [living, foreign, unknown, link, next.path];
    expect((await readdir(parent)).sort()).toEqual(left.map((path) => basename(path)).sort());
    next.remove();
    expect(await readdir(parent)).not.toContain(basename(next.path));
  });
});

describe('the handle store', () => {
  test('gives what was put, under 128 random bits', async () => {
    const { store } = openStore(openDirectory());
    const handles = await Promise.all([1, 2, 3].map((mark) => store.put(held(mark))));
    expect(new Set(handles).size).toBe(3);
    for (const handle of handles) expect(handle).toMatch(/^[0-9a-f]{32}$/);
    expect(handles.map((handle) => markOf(store.get(handle)))).toEqual([1, 2, 3]);
    expect(store.get(handles[0]!)).toEqual(held(1));
  });

  test.each(['', 'abc', '../../etc/passwd', 'a'.repeat(31), 'A'.repeat(32), `${'a'.repeat(32)}/..`, 'f'.repeat(32)])(
    '%j is unknown',
    (handle) => {
      const { store } = openStore(openDirectory());
      expect(store.get(handle)).toBeUndefined();
    },
  );

  test('a file cannot be reached by a name that is no handle', async () => {
    const directory = openDirectory();
    const { store } = openStore(directory);
    const handle = await store.put(held(1));
    await mkdir(join(directory, 'inner'));
    await writeFile(join(directory, 'inner', handle), await readFile(join(directory, handle)));
    expect(store.get(`inner/${handle}`)).toBeUndefined();
  });

  test('the directory and its files are for this user alone, and go with the directory', async () => {
    const { path: directory, remove } = await createSpoolDirectory(null, 'handles');
    const { store } = openStore(directory);
    const handle = await store.put(held(1));
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect((await stat(join(directory, handle))).mode & 0o777).toBe(0o600);
    remove();
    await expect(stat(directory)).rejects.toThrow('ENOENT');
  });

  test('a context lives from its last use', async () => {
    const { store, time } = openStore(openDirectory());
    const [used, unused] = [await store.put(held(1)), await store.put(held(2))];
    for (let i = 0; i < 3; i++) {
      time.nowMs += 9 * minute;
      expect(markOf(store.get(used!))).toBe(1);
    }
    expect(store.get(unused!)).toBeUndefined();
    time.nowMs += timeToLiveMs;
    expect(markOf(store.get(used!))).toBe(1);
    // A twentieth longer at most.
    time.nowMs += 1.05 * timeToLiveMs + 1;
    expect(store.get(used!)).toBeUndefined();
    expect(store.counts).toEqual({ expiredCount: 2, evictedCount: 0 });
    expect([store.entryCount, store.bytes]).toEqual([0, 0]);
  });

  test('sweeping removes what has expired, whoever wrote it, and what a killed process left', async () => {
    const directory = openDirectory();
    const [first, second] = [openStore(directory), openStore(directory)];
    await first.store.put(held(1));
    second.time.nowMs += 8 * minute;
    const kept = await second.store.put(held(2));
    await writeFile(join(directory, 'abandoned.part'), 'x');
    await utimes(join(directory, 'abandoned.part'), startMs / 1000, startMs / 1000);
    first.time.nowMs = second.time.nowMs = startMs + 11 * minute;
    await second.store.sweep();
    expect(await readdir(directory)).toEqual([kept]);
    expect(second.store.counts.expiredCount).toBe(2);
    await first.store.sweep();
    expect([first.store.entryCount, first.store.bytes]).toEqual([0, 0]);
    expect(second.store.entryCount).toBe(1);
  });

  test('sweeping keeps count of what is written meanwhile, and forgets what is gone', async () => {
    const directory = openDirectory();
    const gate = { onList: async () => {}, write: Promise.resolve() };
    class GatedSpool extends Spool {
      override async write(...file: Parameters<Spool['write']>) {
        await gate.write;
        await super.write(...file);
      }
      override async list() {
        const files = await super.list();
        await gate.onList();
        return files;
      }
    }
    const spool = new GatedSpool({ directory });
    const { store, time } = openStore(directory, { spool });
    const gone = await store.put(held(1));
    await rm(join(directory, gone));
    let write = () => {};
    gate.write = new Promise((resolve) => {
      write = resolve;
    });
    const put = store.put(held(2));
    time.nowMs += minute;
    // The file comes after the list was made, and before the sweep goes on.
    gate.onList = async () => {
      write();
      await put;
    };
    await store.sweep();
    expect(store.entryCount).toBe(1);
    expect(store.bytes).toBe((await stat(join(directory, await put))).size);
  });

  test('the contexts used longest ago make room: entries', async () => {
    const directory = openDirectory();
    const { store, time } = openStore(directory, { countMax: 3 });
    const handles: string[] = [];
    for (const mark of [1, 2, 3]) {
      handles.push(await store.put(held(mark)));
      time.nowMs += minute;
    }
    store.get(handles[0]!);
    handles.push(await store.put(held(4)));
    expect(handles.map((handle) => markOf(store.get(handle)))).toEqual([1, undefined, 3, 4]);
    expect(await readdir(directory)).toHaveLength(3);
    expect(store.counts).toEqual({ expiredCount: 0, evictedCount: 1 });
  });

  test('a context whose time is over makes room as one that expired, before the next sweep has it', async () => {
    const { store, time } = openStore(openDirectory(), { countMax: 2 });
    await store.put(held(1));
    await store.put(held(2));
    time.nowMs += 1.05 * timeToLiveMs + 1;
    await store.put(held(3));
    expect(store.counts).toEqual({ expiredCount: 1, evictedCount: 0 });
  });

  test('the contexts used longest ago make room: bytes', async () => {
    const { store } = openStore(openDirectory(), { bytesMax: 10_000 });
    const handles: string[] = [];
    for (const mark of [1, 2, 3]) handles.push(await store.put(held(mark)));
    expect(handles.map((handle) => markOf(store.get(handle)))).toEqual([undefined, 2, 3]);
    expect(store.bytes).toBeLessThanOrEqual(10_000);
  });

  test('writes at the same time keep the bounds', async () => {
    const directory = openDirectory();
    const { store } = openStore(directory, { countMax: 2 });
    const results = await Promise.allSettled([1, 2, 3].map((mark) => store.put(held(mark))));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    expect((results[2] as PromiseRejectedResult).reason).toMatchObject({
      kind: 'resource_exhausted',
      message:
        'context handles: expected at most 2 in 1000000 bytes in one process, got more that are being written at once. Retry with backoff',
    });
    expect(await readdir(directory)).toHaveLength(2);
  });

  test('a context larger than the whole spool is refused, and nothing else goes', async () => {
    const { store } = openStore(openDirectory(), { bytesMax: 5000 });
    const handle = await store.put(held(1));
    const large = held(2);
    const { state } = large;
    const tooLarge = { ...large, state: { ...state, context: new Float32Array(2000) } } as HandleContext;
    await expect(store.put(tooLarge)).rejects.toThrow(
      /^context handles: expected at most 5000 bytes, the part of one process, got 1\d{4} for one context\. Allow more with --handle-spool-mib$/,
    );
    expect(markOf(store.get(handle))).toBe(1);
  });

  test('what memory has no room for comes from the file', async () => {
    const { store } = openStore(openDirectory(), { cacheBytesMax: 0 });
    const handle = await store.put(held(1));
    expect(store.get(handle)).toEqual(held(1));
    expect(store.get(handle)).toEqual(held(1));
  });

  test('a file that went is a context that went', async () => {
    const directory = openDirectory();
    const { store, time } = openStore(directory);
    const handle = await store.put(held(1));
    await rm(join(directory, handle));
    // Within a twentieth of its life the file is not looked at.
    time.nowMs += minute;
    expect(store.get(handle)).toBeUndefined();
    expect(store.entryCount).toBe(0);
  });

  test('a full disk is told, and loses nothing', async () => {
    const directory = openDirectory();
    const disk = { isFull: false };
    // The device gives the error of a full disk.
    const spool = new Spool({
      directory,
      writeNew: async (path, content) => {
        await writeFile(path, disk.isFull ? content.subarray(0, 10) : content, { flag: 'wx' });
        if (disk.isFull) await writeFile('/dev/full', content);
      },
    });
    const { store } = openStore(directory, { spool });
    const handle = await store.put(held(1));
    disk.isFull = true;
    await expect(store.put(held(2))).rejects.toMatchObject({
      kind: 'resource_exhausted',
      message: 'context handles: expected room on the disk of the spool, got a full one. Retry with backoff',
    });
    expect(await readdir(directory)).toEqual([handle]);
    expect(store.entryCount).toBe(1);
    disk.isFull = false;
    expect(markOf(store.get(await store.put(held(3))))).toBe(3);
    expect(markOf(store.get(handle))).toBe(1);
  });

  test('a directory that a cleaner took is made again, for this user alone', async () => {
    const directory = openDirectory();
    const [{ store, time }, other] = [openStore(directory), openStore(directory).store];
    const lost = await store.put(held(1));
    await rm(directory, { recursive: true });
    time.nowMs += minute;
    await store.sweep();
    expect([store.entryCount, store.bytes, store.get(lost)]).toEqual([0, 0, undefined]);
    const handles = await Promise.all([store.put(held(2)), other.put(held(3)), store.put(held(4))]);
    expect(handles.map((handle) => markOf(other.get(handle)))).toEqual([2, 3, 4]);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
  });

  test('a directory that is gone for good is a fault, not the client’s', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'hyperpolicy-test-'));
    const { store } = openStore((await createSpoolDirectory(parent, 'handles')).path);
    await rm(parent, { recursive: true });
    await expect(store.put(held(1))).rejects.toThrow('ENOENT');
    expect(store.entryCount).toBe(0);
  });

  test('what comes after the end makes no directory again', async () => {
    const directory = openDirectory();
    const { store } = openStore(directory);
    store.close();
    await rm(directory, { recursive: true });
    await expect(store.put(held(1))).rejects.toThrow('ENOENT');
    await expect(stat(directory)).rejects.toThrow('ENOENT');
  });
});

describe('two stores on one directory', () => {
  test('see each other’s contexts', async () => {
    const directory = openDirectory();
    const [first, second] = [openStore(directory).store, openStore(directory).store];
    const handles = [await first.put(held(1)), await second.put(held(2))];
    for (const store of [first, second]) {
      expect(handles.map((handle) => store.get(handle))).toEqual([held(1), held(2)]);
    }
    expect([first.entryCount, second.entryCount]).toEqual([1, 1]);
  });

  test('a use in one keeps a context alive in the other', async () => {
    const directory = openDirectory();
    const [writer, reader] = [openStore(directory), openStore(directory)];
    const handle = await writer.store.put(held(1));
    reader.time.nowMs += 9 * minute;
    expect(markOf(reader.store.get(handle))).toBe(1);
    writer.time.nowMs += 15 * minute;
    await writer.store.sweep();
    expect(markOf(writer.store.get(handle))).toBe(1);
  });

  test('a use in one keeps a context from being dropped for room by the other', async () => {
    const directory = openDirectory();
    const [writer, reader] = [openStore(directory, { countMax: 2 }), openStore(directory)];
    const handles = [await writer.store.put(held(1))];
    writer.time.nowMs += minute;
    handles.push(await writer.store.put(held(2)));
    writer.time.nowMs += minute;
    reader.time.nowMs = writer.time.nowMs;
    expect(markOf(reader.store.get(handles[0]!))).toBe(1);
    writer.time.nowMs += minute;
    handles.push(await writer.store.put(held(3)));
    expect(handles.map((handle) => markOf(writer.store.get(handle)))).toEqual([1, undefined, 3]);
  });

  test('what one dropped the other forgets', async () => {
    const directory = openDirectory();
    const [writer, reader] = [openStore(directory, { countMax: 1 }), openStore(directory)];
    const handle = await writer.store.put(held(1));
    expect(markOf(reader.store.get(handle))).toBe(1);
    await writer.store.put(held(2));
    reader.time.nowMs += minute;
    expect(reader.store.get(handle)).toBeUndefined();
  });

  test.each([1, -1])(
    'a clock that is set by %i days changes nothing, also for a process that starts later',
    async (days) => {
      const shared = { directory: openDirectory(), processCount: 2, clockOffsetMs: clockOffset() };
      const config = parseServerConfig({ handleTimeToLiveMs: timeToLiveMs });
      const open = async (process: number) => {
        const { store } = await openHandles(config, { ...shared, process });
        onTestFinished(() => store.close());
        return store;
      };
      const writer = await open(1);
      const handle = await writer.put(held(1));
      const nowMs = Date.now() + days * 24 * 60 * minute;
      const clock = vi.spyOn(Date, 'now').mockReturnValue(nowMs);
      onTestFinished(() => clock.mockRestore());
      const reader = await open(2);
      await reader.sweep();
      expect([writer, reader].map((store) => markOf(store.get(handle)))).toEqual([1, 1]);
      const later = await reader.put(held(2));
      clock.mockRestore();
      await writer.sweep();
      expect([writer, reader].map((store) => markOf(store.get(later)))).toEqual([2, 2]);
    },
  );

  test('one that takes the place of another has its files within its own bounds, and no others', async () => {
    const directory = openDirectory();
    const spool = { directory, processCount: 2, clockOffsetMs: clockOffset() };
    const config = parseServerConfig({ handleCountMax: 6 });
    const open = async (process: number) => {
      const { store } = await openHandles(config, { ...spool, process });
      onTestFinished(() => store.close());
      await store.adopt();
      return store;
    };
    const [first, second] = [await open(1), await open(2)];
    const handles: string[] = [];
    for (const mark of [1, 2, 3]) {
      handles.push(await first.put(held(mark)));
      // As if some time had passed between them.
      await utimes(join(directory, handles.at(-1)!), Date.now() / 1000, Date.now() / 1000 - 10 + mark);
    }
    const others = [await second.put(held(4)), await second.put(held(5))];
    // It dies while it writes.
    first.close();
    await writeFile(join(directory, `${handles[0]}.part`), 'x');
    await writeFile(join(directory, `${others[0]}.part`), 'x');
    const third = await open(1);
    expect([third.entryCount, third.bytes]).toEqual([first.entryCount, first.bytes]);
    expect((await readdir(directory)).sort()).toEqual([...handles, ...others, `${others[0]}.part`].sort());
    // Its part of the bound is 3.
    const more = await third.put(held(6));
    expect([...handles, ...others, more].map((handle) => markOf(third.get(handle)))).toEqual([
      undefined,
      2,
      3,
      4,
      5,
      6,
    ]);
    expect(third.entryCount).toBe(3);
  });
});
