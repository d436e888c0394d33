/** The program of the trainer's README runs as written, in a checkout that is built; only its length differs. */

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('the program that trains from code runs by the name of the package', async () => {
  const readme = await readFile(join(root, 'trainer/README.md'), 'utf8');
  const program = /```js\n([\s\S]*?)```/.exec(readme)![1]!;
  const shortened = program.replace(
    'stepCount: 20_000',
    'stepCount: 40, warmUpStepCount: 30, evaluationEpisodeCount: 1',
  );
  expect(shortened).not.toBe(program);
  // Inside the package, so that its name resolves.
  const file = join(root, 'dist', `trainer-readme-program-${process.pid}.mjs`);
  const cwd = await mkdtemp(join(tmpdir(), 'hyperpolicy-trainer-readme-'));
  onTestFinished(async () => {
    await rm(file);
    await rm(cwd, { recursive: true });
  });
  await writeFile(file, shortened);
  const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd });
  expect(stdout).toMatch(/^40 -?[\d.]+\n$/);
});
