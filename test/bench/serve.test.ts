/** The serving bench as a command, on its smallest section: what it prints and writes. */

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';

const main = fileURLToPath(new URL('../../dist/test/bench/main.js', import.meta.url));
const directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-bench-test-'));
afterAll(() => rm(directory, { recursive: true, force: true }));

const bench = (...args: string[]) => promisify(execFile)(process.execPath, [main, ...args]);

test('one section in seconds: its figures beside their targets, and as flat JSON with machine and revision', async () => {
  const json = join(directory, 'figures.json');
  const { stdout } = await bench('serve', '--only', 'act_mlp_unary_serial', '--rounds', '1', '--json', json);
  expect(stdout).toMatch(/^act_mlp_unary_serial_p50_ratio +[\d.]+ +<= 1\.15 (met|NOT MET), moonshot 1\.05/m);
  const figures = JSON.parse(await readFile(json, 'utf8')) as Record<string, number | string>;
  for (const key of ['p50_ms', 'p99_ms', 'p999_ms', 'p50_ratio']) {
    expect(figures[`act_mlp_unary_serial_${key}`]).toBeGreaterThan(0);
  }
  expect(figures.act_mlp_unary_serial_call_count).toBe(400);
  expect(Object.keys(figures)).toEqual(expect.arrayContaining(['machine', 'node', 'onnxruntime', 'grpc_js', 'commit']));
  expect(Object.keys(figures).some((key) => key.startsWith('qgrad'))).toBe(false);
});

test('a section that is not there is refused with those that are', async () => {
  await expect(bench('serve', '--only', 'nothing')).rejects.toMatchObject({
    stderr: expect.stringContaining('--only: expected a part of act_unary_serial, act_unary_c64'),
  });
});

test('rounds must be a count', async () => {
  await expect(bench('serve', '--rounds', '0')).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--rounds: expected an integer from 1, got "0"'),
  });
});
