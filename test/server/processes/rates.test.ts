import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createRateHub, createSpentQueue, type Spent } from '../../../server/processes/rates.ts';
import { createTokenRate } from '../../../src/pacing/token-rate.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Lets what is under way arrive: there and on is two turns. */
async function settled() {
  for (let i = 0; i < 4; i++) await turn();
}

/** A parent and its processes, each with its own count of one token's rate; messages take a turn. */
function serverOf(processCount: number, perSecond: number) {
  let nowMs = 0;
  const clock = () => nowMs;
  const rateOf = () => createTokenRate(perSecond, clock);
  const parent = rateOf();
  const hub = createRateHub({
    charge: (spent) => parent.charge(spent.t ?? 0),
    left: () => ({ t: parent.left }),
    goOnFrom() {},
  });
  const join = (process: number) => {
    const rate = rateOf();
    const { left } = hub.join(process, async (spent) => {
      await turn();
      rate.charge(spent.t ?? 0);
    });
    rate.left = left.t!;
    const queue = createSpentQueue(async (spent) => {
      await turn();
      hub.tell(process, spent);
    });
    return {
      rate,
      take() {
        const isIn = rate.take();
        if (isIn) queue.add({ t: 1 });
        return isIn;
      },
    };
  };
  return {
    processes: Array.from({ length: processCount }, (_, i) => join(i)),
    hub,
    parent,
    join,
    async advance(ms: number) {
      nowMs += ms;
      vi.advanceTimersByTime(ms);
      await settled();
    },
  };
}

describe('a rate over several processes', () => {
  test('holds over time whoever asks where, and what is over at first is paid back', async () => {
    const { processes, advance } = serverOf(3, 100);
    let count = 0;
    const counts: number[] = [];
    for (let ms = 0; ms < 10_000; ms++) {
      // Far more than there is, everywhere, all the time.
      for (const { take } of processes) for (let i = 0; i < 5; i++) if (take()) count++;
      await advance(1);
      if (ms % 1000 === 999) counts.push(count);
    }
    // 100 at once and 100 a second; over that at most what the other two let in before they heard: 2 x 100.
    counts.forEach((sum, i) => {
      const exact = 100 + 100 * (i + 1);
      expect(sum).toBeGreaterThanOrEqual(exact - 3);
      expect(sum).toBeLessThanOrEqual(exact + 200);
    });
    // Five a millisecond each are stopped within a few milliseconds: nowhere near the bound.
    expect(counts.at(-1)).toBeLessThanOrEqual(1100 + 60);
  });

  test('is whole for who asks one process only', async () => {
    const { processes, advance } = serverOf(2, 10);
    const taken = Array.from({ length: 12 }, () => processes[0]!.take());
    expect(taken.filter((isIn) => isIn)).toHaveLength(10);
    await advance(5);
    await advance(5);
    expect(processes[1]!.take()).toBe(false);
    await advance(100);
    expect([processes[1]!.take(), processes[0]!.take()]).toEqual([true, true]);
  });

  test('what both let in at the same moment is paid back before anybody is let in again', async () => {
    const { processes, advance } = serverOf(2, 10);
    for (const { take } of processes) for (let i = 0; i < 10; i++) expect(take()).toBe(true);
    await advance(5);
    await advance(5);
    // 10 - 20, and 0.1 that came meanwhile.
    for (const { rate } of processes) expect(rate.left).toBeCloseTo(-9.9, 9);
    await advance(1080);
    expect(processes.map(({ take }) => take())).toEqual([false, false]);
    await advance(20);
    expect(processes[0]!.take()).toBe(true);
  });

  test('a process that comes later begins with what is left, and hears the rest', async () => {
    const { processes, hub, parent, join, advance } = serverOf(2, 10);
    for (let i = 0; i < 7; i++) processes[0]!.take();
    await advance(5);
    hub.leave(1);
    const late = join(1);
    // 10 - 7, and at most the 0.05 of 5 ms: those that were let in were not yet heard of.
    expect(late.rate.left).toBe(parent.left);
    expect(Math.abs(late.rate.left - 3)).toBeLessThanOrEqual(0.05);
    processes[0]!.take();
    await advance(5);
    expect(late.rate.left).toBe(parent.left);
    expect(Math.abs(late.rate.left - 2)).toBeLessThanOrEqual(0.1);
  });
});

test('what is let in while a message is under way waits as one number per token', async () => {
  const sent: Spent[] = [];
  let answer = () => {};
  const queue = createSpentQueue((spent) => {
    sent.push(spent);
    return new Promise<void>((resolve) => {
      answer = resolve;
    });
  });
  for (let i = 0; i < 1000; i++) queue.add({ a: 1, b: 2 });
  vi.advanceTimersByTime(1000);
  await settled();
  // The other side hangs.
  expect(sent).toEqual([{ a: 1, b: 2 }]);
  answer();
  await settled();
  expect(sent).toEqual([
    { a: 1, b: 2 },
    { a: 999, b: 1998 },
  ]);
});
