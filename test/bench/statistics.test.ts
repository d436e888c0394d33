import { describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { standing } from './measure.ts';
import { lengthPrefixed, readReport } from './serve-ghz.ts';
import { cpuMsOf, sampleOf } from './serve-processes.ts';
import { selfTimes } from './serve-profile.ts';
import { inTurns } from './serve-rounds.ts';
import { compareRounds, median, quantile, summarise, zipfRanks } from './statistics.ts';

describe('quantile', () => {
  test('is the sample below which the fraction lies, in any order of samples', () => {
    const samples = Array.from({ length: 1000 }, (_, i) => 999 - i);
    expect(quantile(samples, 0)).toBe(0);
    expect(median(samples)).toBe(500);
    expect(quantile(samples, 0.99)).toBe(990);
    expect(quantile(samples, 0.999)).toBe(999);
    expect(quantile(samples, 1)).toBe(999);
    expect(summarise(samples)).toEqual({ p50: 500, p99: 990, p999: 999 });
  });

  test('orders by size and not as text', () => {
    expect(median([10, 9, 100])).toBe(10);
  });

  test('of nothing is an error', () => {
    expect(() => median([])).toThrow('quantile: expected at least one sample, got none');
    expect(() => summarise([])).toThrow('summarise: expected at least one sample, got none');
  });
});

describe('compareRounds', () => {
  test('takes the ratio within a round, so that a slow round of both sides changes nothing', () => {
    // Ratios 1.5, 1.5, 1.5, 1.2, 1.8; the ratio of the medians would be 18 / 10.
    const { ratio, low, high } = compareRounds([15, 30, 150, 12, 18], [10, 20, 100, 10, 10]);
    expect(ratio).toBe(1.5);
    expect(low).toBe(1.5);
    expect(high).toBe(1.5);
  });

  test('refuses sides of different length', () => {
    expect(() => compareRounds([1], [1, 2])).toThrow('expected as many rounds on both sides, got 1 and 2');
  });
});

test('zipfRanks draws rank r as often as 1 / (r + 1)', () => {
  const draw = zipfRanks(3, createRandom(1));
  const counts = [0, 0, 0];
  for (let i = 0; i < 11_000; i++) counts[draw()]!++;
  // 1 + 1/2 + 1/3 = 11/6: 6000, 3000 and 2000 of 11000 are expected.
  expect(counts[0]).toBeGreaterThan(5800);
  expect(counts[0]).toBeLessThan(6200);
  expect(counts[1]).toBeGreaterThan(2800);
  expect(counts[1]).toBeLessThan(3200);
  expect(counts[2]).toBeGreaterThan(1800);
  expect(counts[2]).toBeLessThan(2200);
});

test('inTurns changes who is first', async () => {
  const order: string[] = [];
  const side = (name: string) => async () => void order.push(name);
  await inTurns(3, [side('a'), side('b')]);
  expect(order.join('')).toBe('abbaab');
});

test('a figure stands against its target and moonshot', () => {
  const target = { bound: 'most', value: 1.15, moonshot: 1.05 } as const;
  expect(standing(1.2, target)).toBe('<= 1.15 NOT MET, moonshot 1.05');
  expect(standing(1.15, target)).toBe('<= 1.15 met, moonshot 1.05');
  expect(standing(1.01, target)).toBe('<= 1.15 met, moonshot 1.05 met');
  expect(standing(7.9, { bound: 'least', value: 8 })).toBe('>= 8 NOT MET');
});

test('selfTimes sums what each function took itself, without idle time and the start', () => {
  const frame = (functionName: string) => ({ functionName, url: '/a/b/c.js', lineNumber: 6 });
  const nodes = [
    { id: 1, callFrame: { functionName: '(idle)', url: '', lineNumber: -1 } },
    { id: 2, callFrame: frame('work') },
    { id: 3, callFrame: frame('rest') },
    { id: 4, callFrame: frame('work') },
  ];
  // The first 2 ms are the start; then work 3 + 3 ms, rest 2 ms, idle 5 ms.
  const profile = { nodes, samples: [3, 2, 1, 4, 3], timeDeltas: [1999, 3000, 5000, 3000, 2000] };
  expect(selfTimes(profile, 2)).toEqual([
    { name: 'work a/b/c.js:7', percent: 75 },
    { name: 'rest a/b/c.js:7', percent: 25 },
  ]);
});

test('a message for ghz has its length before it, as a varint', () => {
  expect(lengthPrefixed(Buffer.from('abc'))).toEqual(Buffer.from([3, 97, 98, 99]));
  // 300 = 0b10_0101100: the low seven bits first, marked as not the last.
  const long = lengthPrefixed(Buffer.alloc(300));
  expect([...long.subarray(0, 2)]).toEqual([0xac, 2]);
  expect(long.length).toBe(302);
});

test('a report of ghz is times in milliseconds and calls per second; one that failed is refused', () => {
  const call = (status: string) => ({ latency: 250_000, status });
  const report = (...details: object[]) =>
    JSON.stringify({ rps: 4000, details, errorDistribution: { 'rpc error: x': 1 } });
  expect(readReport(report(call('OK'), call('OK')))).toEqual({ perSecond: 4000, times: [0.25, 0.25] });
  expect(() => readReport(report(call('OK'), call('InvalidArgument')))).toThrow(
    'ghz: expected every call to succeed, got 1 failures of 2: {"rpc error: x":1}',
  );
  expect(() => readReport(report())).toThrow('got 0 failures of 0');
});

test('sampleOf reads a number by its whole name', () => {
  const text = '# HELP rows_sum x\nrows_sum{graph="a"} 12\nrows_sum{graph="ab"} 7\n';
  expect(sampleOf(text, 'rows_sum{graph="a"}')).toBe(12);
  expect(sampleOf(text, 'rows_sum{graph="c"}')).toBe(0);
});

test.runIf(process.platform === 'linux')('cpuMsOf grows with what a process does, on all its threads', () => {
  const before = cpuMsOf(process.pid)!;
  const own = process.cpuUsage();
  while (process.cpuUsage(own).user < 50_000);
  const grown = cpuMsOf(process.pid)! - before;
  expect(grown).toBeGreaterThan(45);
  expect(cpuMsOf(2 ** 22 + 1)).toBeUndefined();
});
