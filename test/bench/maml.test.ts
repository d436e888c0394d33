/** The MAML bench end to end at a size of seconds: the figures that it promises. */

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

test('tells the seconds of an iteration and their parts, which add up', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'maml-bench-test-'));
  try {
    const json = join(scratch, 'figures.json');
    const main = join(import.meta.dirname, '../../dist/test/bench/main.js');
    const size = ['--tasks', '2', '--episodes', '2', '--only', 'maml,multi-task-hyper', '--rounds', '2'];
    await promisify(execFile)(process.execPath, [main, 'maml', '--json', json, ...size]);
    const figures = JSON.parse(await readFile(json, 'utf8')) as Record<string, number>;
    for (const key of ['maml', 'multi_task_hyper']) {
      const [iteration, ...parts] = ['iteration', 'sampling', 'inner', 'outer', 'cg'].map(
        (part) => figures[`${key}_${part}_s`]!,
      );
      expect(iteration).toBeGreaterThan(0);
      for (const part of parts) expect(part).toBeLessThanOrEqual(iteration!);
      expect(parts.every((part) => part >= 0)).toBe(true);
    }
    expect(figures).toMatchObject({ tasks: 2, episodes: 2, rounds: 2 });
    expect(figures.maml_iteration_ratio).toBeUndefined();
  } finally {
    await rm(scratch, { recursive: true });
  }
}, 240_000);
