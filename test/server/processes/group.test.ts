import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { encodeTensor } from '../../../server/call/tensors.ts';
import { parseServerConfig, type ServerSettings } from '../../../server/config.ts';
import type { ReadyModel } from '../../../server/models/model-store.ts';
import { ProcessGroup } from '../../../server/processes/group.ts';
import type { ToParent, ToProcess } from '../../../server/processes/messages.ts';
import type { Spent } from '../../../server/processes/rates.ts';
import { invalidArgument, notFound } from '../../../src/contract/errors.ts';
import { Pinning, PrepareRequestSchema } from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { Link } from '../../../src/messages/link.ts';
import { joinMetrics, joinWithParent, type MetricValues } from '../../../src/metrics/joined.ts';
import { recordingLog } from '../fixtures.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Turns of the event loop, for messages that go back and forth. */
const turns = async () => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
};

type FakeProcess = {
  /** As if it had died. */
  die(code: number | null, signal: string | null): void;
  models: readonly ReadyModel[];
  counted: readonly MetricValues[];
  readonly asked: string[];
  /** How long it looks through the store. */
  lookMs: number;
  /** Of each Prepare that it did: what, and of which version. */
  readonly prepared: string[];
  pinFault: Error | undefined;
  /** As if a client had asked it: has the same done elsewhere. */
  prepare(request: Uint8Array): Promise<number>;
  /** As if it had let these in. */
  spend(spent: Spent): Promise<unknown>;
  readonly process: number;
  killed: boolean;
  /** As if it had been stopped. */
  hangs: boolean;
};

/** A Prepare of contexts with two values each. */
const order = (pinning: Pinning, ...contexts: readonly (readonly [number, number])[]) =>
  toBinary(
    PrepareRequestSchema,
    create(PrepareRequestSchema, {
      model: 'm',
      selection: { case: 'version', value: 2 },
      target: { case: 'context', value: encodeTensor(Float32Array.from(contexts.flat()), [contexts.length, 2]) },
      pinning,
    }),
  );

function described(bytes: Uint8Array): string {
  const { model, selection, target, pinning } = fromBinary(PrepareRequestSchema, bytes);
  const { data } = target.value!;
  const values = [...new Float32Array(data.slice().buffer)];
  return `${pinning === Pinning.PIN ? 'PIN' : pinning === Pinning.UNPIN ? 'UNPIN' : 'MAKE'} ${model}/${selection.value} ${target.case} ${values.join(' ')}`;
}

/** First values of the contexts that a process has pinned, ascending. */
function pinnedBy({ prepared }: FakeProcess): number[] {
  const pinned = new Set<number>();
  for (const done of prepared) {
    const [pinning, , , ...values] = done.split(' ');
    values.forEach((value, i) => {
      if (i % 2 === 1) return;
      if (pinning === 'PIN') pinned.add(Number(value));
      else pinned.delete(Number(value));
    });
  }
  return [...pinned].sort((a, b) => a - b);
}

/** A group over processes of this thread, which speak the real messages. */
function groupOf(
  processCount: number,
  start: (process: number, launch: number) => number = () => 1000,
  changed: ServerSettings = {},
) {
  const processes: FakeProcess[] = [];
  const { log, lines } = recordingLog();
  let nowMs = 0;
  const system = { isFull: false };
  const told: string[] = [];
  const rates = {
    charge: (spent: Spent) => told.push(`parent ${JSON.stringify(spent)}`),
    left: () => ({ t: 3 }),
    goOnFrom() {},
  };
  const settings = { processCount, port: 0, ...changed };
  const group = new ProcessGroup({
    config: parseServerConfig(settings),
    settings,
    spool: { directory: 'none', processCount, clockOffsetMs: 0 },
    rates,
    log,
    clock: () => nowMs,
    fork() {
      if (system.isFull) throw new Error('spawn ENOMEM');
      let toParent: (message: unknown) => void = () => {};
      let exit: (code: number | null, signal: string | null) => void = () => {};
      const launch = processes.length;
      let number = 0;
      const models = [{ model: 'm', versions: [2, 1] }];
      const asked: string[] = [];
      const link = new Link<ToParent, ToProcess>({
        name: 'the parent process',
        send: (message) => setImmediate(() => toParent(message)),
        answer: {
          async start(body) {
            number = body.process;
            const { left } = await link.ask('loaded', null, Number.POSITIVE_INFINITY);
            told.push(`${number} begins ${JSON.stringify(left)}`);
            return { port: body.settings.port || start(number, launch), httpPort: undefined, models: one.models };
          },
          async refresh() {
            asked.push('refresh');
            if (one.lookMs > 0) await new Promise((resolve) => setTimeout(resolve, one.lookMs));
            return one.models;
          },
          lives: async () => null,
          metrics: async () => one.counted,
          async prepare({ request }) {
            asked.push('prepare');
            if (one.pinFault !== undefined) throw one.pinFault;
            one.prepared.push(described(request));
            return number;
          },
          async spent(spent) {
            told.push(`${number} ${JSON.stringify(spent)}`);
            return null;
          },
          async stop() {
            one.die(0, null);
            return null;
          },
        },
      });
      const one: FakeProcess = {
        models,
        counted: [],
        asked,
        lookMs: 0,
        prepared: [],
        pinFault: undefined,
        prepare: (request) =>
          link.ask('prepareElsewhere', { request, deadlineMs: Date.now() + 60_000 }, Number.POSITIVE_INFINITY),
        spend: (spent) => link.ask('spent', spent, Number.POSITIVE_INFINITY),
        killed: false,
        hangs: false,
        get process() {
          return number;
        },
        die(code, signal) {
          link.close();
          exit(code, signal);
        },
      };
      processes.push(one);
      setImmediate(() => void link.ask('hello', null, Number.POSITIVE_INFINITY).catch(() => {}));
      return {
        send: (message) => setImmediate(() => one.hangs || link.receive(message)),
        onMessage: (listener) => {
          toParent = listener;
        },
        onExit: (listener) => {
          exit = listener;
        },
        kill() {
          one.killed = true;
          one.die(null, 'SIGKILL');
        },
      };
    },
  });
  const advance = async (ms: number) => {
    for (let leftMs = ms; leftMs > 0; leftMs -= 10_000) {
      const stepMs = Math.min(leftMs, 10_000);
      nowMs += stepMs;
      vi.advanceTimersByTime(stepMs);
      await turns();
    }
  };
  return { group, processes, lines, system, told, advance };
}

describe('a group of processes', () => {
  test('replaces one that dies after 0.2 s, then after twice as long each time, at most 10 s', async () => {
    const { group, processes, lines, advance } = groupOf(2);
    await group.start();
    const delays = [];
    for (let i = 0; i < 9; i++) {
      processes.at(-1)!.die(1, null);
      expect(group.notReady()).toBe('process 2: loading');
      const { delayMs } = lines.findLast(({ msg }) => msg === 'process died; another takes its place')!;
      delays.push(delayMs);
      const count = processes.length;
      await advance((delayMs as number) - 1);
      expect(processes).toHaveLength(count);
      await advance(1);
      expect(processes).toHaveLength(count + 1);
      expect(group.notReady()).toBeUndefined();
    }
    expect(delays).toEqual([200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
    expect([group.servingCount, group.replacementCount]).toEqual([2, 9]);
    // One that served for a minute died of something new.
    await advance(60_000);
    processes.at(-1)!.die(1, null);
    expect(lines.at(-1)).toMatchObject({ process: 2, delayMs: 200 });
    await group.stop();
  });

  test('fails to start as its first process does, and leaves none behind', async () => {
    const { group, processes } = groupOf(2, (process) => {
      if (process === 2) throw invalidArgument({ where: 'TLS', expected: 'a key', actual: 'none' });
      return 1000;
    });
    await expect(group.start()).rejects.toMatchObject({
      kind: 'invalid_argument',
      message: 'TLS: expected a key, got none',
    });
    expect(processes.map(({ killed }) => killed)).toEqual([true, true]);
  });

  test('where one dies before all have started, nobody takes its place after the end', async () => {
    const { group, processes, advance } = groupOf(2, (process) => {
      // After the first has answered, before its own answer.
      if (process === 2) setImmediate(() => processes[1]!.die(1, null));
      return 1000;
    });
    await expect(group.start()).rejects.toThrow('process 2: expected a process that runs, got one that has ended');
    await advance(20_000);
    expect(processes).toHaveLength(2);
  });

  test('tries again where the system has no process to give, and ends meanwhile', async () => {
    const { group, processes, lines, system, advance } = groupOf(1);
    await group.start();
    system.isFull = true;
    processes[0]!.die(1, null);
    await advance(200);
    expect(lines.at(-1)).toMatchObject({ msg: 'process cannot start', reason: 'spawn ENOMEM' });
    await advance(400);
    expect([processes.length, group.servingCount]).toEqual([1, 0]);
    system.isFull = false;
    await advance(800);
    expect([processes.length, group.servingCount]).toEqual([2, 1]);
    system.isFull = true;
    processes[1]!.die(1, null);
    await group.stop();
    await advance(20_000);
    expect(processes).toHaveLength(2);
  });

  test('a replacement that gets another port is ended, and the next asks for the right one', async () => {
    const { group, processes, lines, advance } = groupOf(1, (_, launch) => 1000 + launch);
    expect(await group.start()).toMatchObject({ port: 1000 });
    processes[0]!.die(1, null);
    await advance(200);
    expect(processes[1]!.killed).toBe(true);
    expect(lines.find(({ msg }) => msg === 'process cannot start')).toMatchObject({
      process: 1,
      reason: 'process 1: expected the ports 1000 and none, got 1001 and none',
    });
    await advance(400);
    expect(processes[2]!.killed).toBe(false);
    expect(group.notReady()).toBeUndefined();
    await group.stop();
  });

  test('asks one that starts once it listens, and ends it without waiting', async () => {
    const { group, processes, advance } = groupOf(2);
    await group.start();
    processes[1]!.die(1, null);
    // Forked at this moment, and not yet there to hear.
    const asked = (async () => {
      vi.advanceTimersByTime(200);
      await group.refresh();
    })();
    await asked;
    expect(processes.map(({ asked: questions }) => questions)).toEqual([['refresh'], [], ['refresh']]);
    processes[0]!.die(1, null);
    vi.advanceTimersByTime(200);
    const last = processes.at(-1)!;
    await group.stop();
    expect([processes.length, last.killed]).toEqual([4, true]);
    await advance(20_000);
    expect(processes).toHaveLength(4);
  });

  test('one that hangs holds nobody back, and is killed and replaced after four questions for a sign of life', async () => {
    const { group, processes, lines, advance } = groupOf(2);
    await group.start();
    await advance(10_000);
    const [hung, well] = processes;
    hung!.hangs = true;
    well!.models = [{ model: 'm', versions: [3, 2, 1] }];
    for (let i = 0; i < 3; i++) {
      group.look();
      await turns();
    }
    // One question that is open, and one look after the other.
    expect([hung!.asked, well!.asked]).toEqual([[], ['refresh', 'refresh', 'refresh']]);
    const asked = group.refresh();
    for (let i = 0; i < 3; i++) await advance(10_000);
    expect([hung!.killed, group.notReady()]).toEqual([false, undefined]);
    // It does not end at once.
    const { die } = hung!;
    hung!.die = () => {};
    await advance(10_000);
    expect([hung!.killed, well!.killed]).toEqual([true, false]);
    expect(group.notReady()).toBe('process 1: no sign of life for 30 s');
    expect(lines.at(-1)).toMatchObject({ process: 1, msg: 'process killed: no sign of life for 30 s' });
    die(null, 'SIGKILL');
    await asked;
    await advance(200);
    expect([group.notReady(), group.servingCount, group.replacementCount]).toEqual([undefined, 2, 1]);
    // The other is asked on, and the new one as well.
    processes[2]!.models = well!.models;
    group.look();
    await turns();
    expect(group.list()).toEqual([{ model: 'm', versions: [3, 2, 1] }]);
    await advance(100_000);
    expect(processes).toHaveLength(3);
    await group.stop();
  });

  test('what one process could not load does not hide what the others did', async () => {
    const { group, processes, lines } = groupOf(2);
    await group.start();
    Object.defineProperty(processes[0], 'models', {
      get: () => {
        throw invalidArgument({ where: 'store', expected: 'a directory', actual: 'none' });
      },
    });
    processes[1]!.models = [{ model: 'm', versions: [1] }];
    await expect(group.refresh()).rejects.toThrow('store: expected a directory, got none');
    expect(group.list()).toEqual([{ model: 'm', versions: [1] }]);
    group.look();
    await turns();
    expect(lines.at(-1)).toMatchObject({
      process: 1,
      reason: 'store: expected a directory, got none',
      msg: 'looking through the store failed',
    });
    await group.stop();
  });

  test('a version that an admin asks for is waited for until it is refused, a look at the store for a minute', async () => {
    const { group, processes, advance } = groupOf(2, undefined, { loadMsMax: 300_000 });
    await group.start();
    processes[1]!.lookMs = 340_000;
    const asked = group.refresh({ model: 'm', version: 3 });
    const looked = expect(group.refresh()).rejects.toThrow('process 2: expected an answer within 60000 ms, got none');
    await turns();
    await advance(350_000);
    await Promise.all([asked, looked]);
    await group.stop();
  });

  test('shows what every process has, and is not ready where one has nothing', async () => {
    const { group, processes } = groupOf(2);
    await group.start();
    expect(group.list()).toEqual([{ model: 'm', versions: [2, 1] }]);
    processes[1]!.models = [{ model: 'm', versions: [1] }];
    await group.refresh();
    expect(group.list()).toEqual([{ model: 'm', versions: [1] }]);
    processes[1]!.models = [];
    await group.refresh();
    expect([group.list(), group.notReady()]).toEqual([[], 'process 2: no model is ready']);
    expect(processes.map(({ asked }) => asked)).toEqual([
      ['refresh', 'refresh'],
      ['refresh', 'refresh'],
    ]);
    await group.stop();
    expect(group.notReady()).toBe('draining');
  });

  test('kills what does not end in time, and says that it did not end well', async () => {
    const { group, processes, lines, advance } = groupOf(2);
    await group.start();
    const [, stuck] = processes;
    const end = stuck!.die;
    stuck!.die = (code, signal) => {
      if (signal === 'SIGKILL') end(code, signal);
    };
    const stopped = expect(group.stop()).rejects.toMatchObject({
      kind: 'failed_precondition',
      actual: '1 of 2 that did not',
    });
    await turns();
    // 10 s to drain, 10 s to free what it has.
    await advance(20_000);
    await stopped;
    expect(lines.at(-1)).toMatchObject({ process: 2, msg: 'process killed: it did not end in time' });
  });

  test('keeps the counts of one that died, once, and forgets its gauges', async () => {
    const { group, processes, advance } = groupOf(2);
    await group.start();
    const metric = (name: string, type: string, aggregator: string, value: number): MetricValues => ({
      name,
      help: name,
      type,
      aggregator,
      values: [{ value, labels: {} }],
    });
    const counted = (calls: number, open: number, age: number) => [
      metric('calls', 'counter', 'sum', calls),
      metric('open', 'gauge', 'sum', open),
      metric('age', 'gauge', 'max', age),
    ];
    const values = async () => {
      const text = await joinMetrics(await group.metrics()).metrics();
      return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    };
    processes[0]!.counted = counted(5, 1, 10);
    processes[1]!.counted = counted(7, 2, 30);
    // 5 + 7; 1 + 2; the larger of 10 and 30.
    expect(await values()).toEqual(['calls 12', 'open 3', 'age 30']);
    processes[1]!.die(1, null);
    expect(await values()).toEqual(['calls 12', 'open 1', 'age 10']);
    await advance(200);
    processes[2]!.counted = counted(1, 4, 1);
    expect(await values()).toEqual(['calls 13', 'open 5', 'age 10']);
    await group.stop();
  });
});

test('the start of a server is its parent’s, whenever its processes started', async () => {
  const started = (value: number): MetricValues => ({
    name: 'process_start_time_seconds',
    help: 'start',
    type: 'gauge',
    aggregator: 'omit',
    values: [{ value, labels: {} }],
  });
  const text = await joinWithParent([started(100)], [[started(101)], [started(102)]]).metrics();
  expect(text.split('\n')).toContain('process_start_time_seconds 100');
});

describe('a process that takes the place of another', () => {
  test.each(['batchRowCountMax', 'rowCountMax', 'queueRowCountMax'])(
    'is given what is pinned, and nothing else, before it listens, at most %s in an order',
    async (bound) => {
      const { group, processes, lines, advance } = groupOf(2, undefined, { [bound]: 2 });
      await group.start();
      const [first, second] = processes;
      await first!.prepare(order(Pinning.UNSPECIFIED, [9, 9]));
      await first!.prepare(order(Pinning.PIN, [1, 1], [2, 2], [1, 1], [3, 3]));
      await second!.prepare(order(Pinning.PIN, [2, 2], [4, 4]));
      await second!.prepare(order(Pinning.UNPIN, [3, 3]));
      // Refused elsewhere: it is not pinned.
      second!.pinFault = invalidArgument({ where: 'Prepare', expected: 'less', actual: 'more' });
      await expect(first!.prepare(order(Pinning.PIN, [5, 5]))).rejects.toThrow('Prepare: expected less, got more');
      second!.die(1, null);
      await advance(200);
      // Rows 1, 2 and 4, two in an order.
      expect(processes[2]!.prepared).toEqual(['PIN m/2 context 1 1 2 2', 'PIN m/2 context 4 4']);
      // It looked through the store with the other, before it was given them.
      expect([first!.asked.at(-1), processes[2]!.asked]).toEqual(['refresh', ['refresh', 'prepare', 'prepare']]);
      expect(lines.map(({ msg, process: number }) => `${number} ${msg}`).slice(-2)).toEqual([
        '2 pinned again what the others have',
        '2 process replaced',
      ]);
      await group.stop();
    },
  );

  test('begins with what is left of the rates, and hears what the others and the parent let in', async () => {
    const { group, processes, told, advance } = groupOf(2);
    await group.start();
    expect(told.splice(0).sort()).toEqual(['1 begins {"t":3}', '2 begins {"t":3}']);
    await processes[0]!.spend({ t: 1 });
    await turns();
    expect(told.splice(0)).toEqual(['parent {"t":1}', '2 {"t":1}']);
    processes[1]!.die(1, null);
    await processes[0]!.spend({ t: 1 });
    await advance(200);
    expect(told.splice(0)).toEqual(['parent {"t":1}', '2 begins {"t":3}']);
    group.spent('t');
    await turns();
    expect(told.sort()).toEqual(['1 {"t":1}', '2 {"t":1}']);
    await group.stop();
  });

  test('is given what is pinned while it is given it, once and in order', async () => {
    const { group, processes, advance } = groupOf(2);
    await group.start();
    const [first, second] = processes;
    await first!.prepare(order(Pinning.PIN, [1, 1]));
    second!.die(1, null);
    vi.advanceTimersByTime(200);
    // In every turn of its start one is pinned, and unpinned in the next.
    const pins: Promise<number>[] = [];
    for (let i = 10; i < 40; i++) {
      pins.push(first!.prepare(order(Pinning.PIN, [i, i])));
      await new Promise((resolve) => setImmediate(resolve));
      if (i % 2 === 0) pins.push(first!.prepare(order(Pinning.UNPIN, [i, i])));
    }
    await Promise.all(pins);
    await advance(1);
    expect(group.servingCount).toBe(2);
    const odd = [1, ...Array.from({ length: 15 }, (_, i) => 11 + 2 * i)];
    expect(pinnedBy(processes[2]!)).toEqual(odd);
    // What is remembered is the same.
    processes[2]!.die(1, null);
    await advance(400);
    expect(pinnedBy(processes[3]!)).toEqual(odd);
    await group.stop();
  });

  test('has what was pinned also where all have died, and not what is of a version that is gone', async () => {
    const { group, processes, advance } = groupOf(2);
    await group.start();
    await processes[0]!.prepare(order(Pinning.PIN, [1, 1]));
    for (const one of [...processes]) one.die(1, null);
    await advance(200);
    expect(processes.slice(2).map(({ prepared }) => prepared)).toEqual([
      ['PIN m/2 context 1 1'],
      ['PIN m/2 context 1 1'],
    ]);
    for (const one of processes.slice(2)) one.models = [{ model: 'm', versions: [3] }];
    await group.refresh();
    processes[3]!.die(1, null);
    await advance(400);
    expect([processes.length, processes[4]!.prepared]).toEqual([5, []]);
    await group.stop();
  });

  test('serves without pins that it cannot have, and the log says so', async () => {
    const { group, processes, lines, advance } = groupOf(1);
    await group.start();
    await processes[0]!.prepare(order(Pinning.PIN, [1, 1]));
    processes[0]!.die(1, null);
    vi.advanceTimersByTime(200);
    processes[1]!.pinFault = notFound({ where: 'Prepare version', expected: 'one that is ready', actual: '2' });
    await advance(1);
    expect(group.servingCount).toBe(1);
    expect(lines.find(({ msg }) => msg === 'not everything pinned again')).toMatchObject({
      process: 1,
      failedCount: 1,
      orderCount: 1,
      reason: 'Prepare version: expected one that is ready, got 2',
    });
    await group.stop();
  });

  test('what is remembered of pins is bounded, and the bound is named', async () => {
    const { group, processes } = groupOf(2, undefined, { contextCacheBytesMax: 1200 });
    await group.start();
    // A row of two values: 8 bytes, its key as many, its place 256; two are 544.
    await processes[0]!.prepare(order(Pinning.PIN, [1, 1], [2, 2]));
    const third = expect(processes[0]!.prepare(order(Pinning.PIN, [3, 3]))).rejects;
    await third.toThrow(
      'pinned contexts: expected at most 600 bytes of rows over all versions, half of the cache of weights, got 816. Unpin others, or make the cache larger',
    );
    expect(processes[1]!.prepared).toHaveLength(1);
    await processes[0]!.prepare(order(Pinning.UNPIN, [1, 1]));
    await processes[0]!.prepare(order(Pinning.PIN, [3, 3]));
    await group.stop();
  });
});

describe('questions between processes', () => {
  test('an answer that does not come in time is unavailable, and named', async () => {
    const link = new Link<ToProcess, ToParent>({ name: 'process 3', send: () => {}, answer: {} as never });
    const asked = expect(link.ask('refresh', null, 500)).rejects.toThrow(
      'process 3: expected an answer within 500 ms, got none',
    );
    vi.advanceTimersByTime(500);
    await asked;
    const open = expect(link.ask('refresh', null, 500)).rejects.toThrow(
      'process 3: expected a process that runs, got one that has ended',
    );
    link.close();
    await open;
    await expect(link.ask('refresh', null, 500)).rejects.toMatchObject({ kind: 'unavailable' });
  });

  test('are bounded', async () => {
    const link = new Link<ToProcess, ToParent>({ name: 'process 3', send: () => {}, answer: {} as never });
    const open = Array.from({ length: 4096 }, () => link.ask('refresh', null, 500).catch(() => {}));
    await expect(link.ask('refresh', null, 500)).rejects.toMatchObject({
      kind: 'resource_exhausted',
      message: 'process 3: expected at most 4096 open questions between processes, got one more. Retry with backoff',
    });
    link.close();
    await Promise.all(open);
  });
});
