/** A short run of the simulated robot with all of its faults: no action is applied above its limit, it stands, and it is drawn. Needs the built bench. */

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';

test('a robot acts through every fault', { timeout: 240_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hyperpolicy-robot-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const [json, svg] = [join(folder, 'robot.json'), join(folder, 'robot.svg')];
  const main = fileURLToPath(new URL('../../dist/test/bench/main.js', import.meta.url));
  await promisify(execFile)(process.execPath, [main, 'robot', '--seconds', '8', '--json', json, '--out', svg]);
  const figures = JSON.parse(await readFile(json, 'utf8')) as Record<string, number>;
  expect(figures.stale_count).toBe(0);
  expect(figures.fall_count).toBe(0);
  expect(figures.fresh_count! + figures.hold_count!).toBeGreaterThan(0);
  // The restart alone is longer than an action may be held.
  expect(figures.safe_count).toBeGreaterThan(0);
  const drawn = await readFile(svg, 'utf8');
  for (const word of ['restart', 'freeze', 'swap', 'A hopper at 100 Hz']) expect(drawn).toContain(word);
});
