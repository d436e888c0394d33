import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { judgeFlatness, type MemorySample } from './soak/memory.ts';
import { runSoak } from './soak/run.ts';
import { startSoakServer } from './soak/server.ts';

const mebibyte = 1024 * 1024;

describe('the soak', () => {
  test('passes for some seconds, with every kind of call', async () => {
    const result = await runSoak({
      minutes: 25 / 60,
      rate: 250,
      growthMaxBytes: 96 * mebibyte,
      command: fileURLToPath(new URL('../../dist/clients/cli/main.js', import.meta.url)),
      progress: () => {},
    });
    expect(result.faults).toEqual([]);
    expect(result.publishedCount).toBeGreaterThanOrEqual(2);
    expect(result.rollbackCount).toBeGreaterThanOrEqual(1);
    const made = result.kinds.filter(({ count }) => count > 0).map(({ name }) => name);
    expect(made).toEqual(
      expect.arrayContaining(['Act, hyper', 'Act, late', 'ActStream', 'QGrad', 'Prepare', 'cancelled']),
    );
    expect(result.kinds.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThan(500);
  }, 180_000);
});

test('what a server prints that is no line of its log is passed over', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'hyperpolicy-soak-server-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const serving = { level: 30, msg: 'serving', address: '127.0.0.1:1', metricsPort: 2, adminPort: 3, httpPort: 4 };
  const refused = JSON.stringify({ level: 50, msg: 'model version refused' });
  const said = ['{ of a driver', refused, JSON.stringify(serving)].join('\n');
  const command = join(folder, 'server.mjs');
  writeFileSync(command, `console.log(${JSON.stringify(said)}); setInterval(() => {}, 1000);`);
  const server = await startSoakServer(command, []);
  await server.stop();
  expect([server.address, server.errors]).toEqual(['127.0.0.1:1', [refused]]);
});

describe('judgeFlatness', () => {
  const rule = { warmUpMs: 1000, windowCount: 4, growthMaxBytes: 10 * mebibyte, growthMaxShare: 0 };
  const samplesOf = (bytesAt: (ms: number) => number): MemorySample[] =>
    Array.from({ length: 101 }, (_, i) => ({ atMs: i * 50, bytes: bytesAt(i * 50) }));

  test('a saw of garbage is flat, whatever the warm-up did', () => {
    const saw = samplesOf((ms) => (ms < 1000 ? ms * 1000 : 50 * mebibyte + (ms % 400) * 100_000));
    const { growthBytes, startBytes, isFlat } = judgeFlatness(saw, rule);
    expect([growthBytes, startBytes, isFlat]).toEqual([0, 50 * mebibyte, true]);
  });

  test('a leak under the saw is not, and its slope is told', () => {
    // 4 MiB a second over 4 s of measurement are 16 MiB, over the 10 that are allowed.
    const leak = samplesOf((ms) => 50 * mebibyte + (ms / 1000) * 4 * mebibyte + (ms % 200) * 100_000);
    const { growthBytes, slopeBytesPerHour, isFlat } = judgeFlatness(leak, rule);
    expect(isFlat).toBe(false);
    expect(growthBytes / mebibyte).toBeCloseTo(16, 0);
    expect(slopeBytesPerHour / mebibyte / 3600).toBeCloseTo(4, 0);
  });
});
