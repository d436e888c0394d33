/** User code that never returns: an interrupt ends the run in its time all the same, with what the run has. */

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand, startCommand } from '../clients/command.ts';
import { writeLine } from './line-file.ts';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'endless-test-'));
});
afterAll(() => rm(scratch, { recursive: true }));

const lastLine = (text: string): string => text.trim().split('\n').at(-1)!;

const algorithms = {
  td3: '--policy mlp --critic mlp-small --batch-size 8 --warm-up 20 --steps 60 --eval-every 30 --eval-episodes 2',
  maml:
    '--policy multi-task-hyper --trunk 8 --dynamic-hidden 8 --hidden 8 --tasks 3 --episodes 2 --eval-tasks 2 --eval-episodes 2 ' +
    '--eval-every 1 --iterations 3 --threads 1',
};

const place = String.raw`advance, (episode \d+ step \d|step \d of an episode)`;
const given =
  '3 s of the interrupt, got none, so its thread was ended. Look there for a loop or a wait that does not end';

/** An evaluation has 10 steps (td3) or 40 (maml), 30 steps of td3 or an iteration of 30 steps lie between; one comes first. */
test.concurrent.each([
  ['a step of td3', 'td3', 65, 'SIGTERM', /^\d\d$/],
  ['an evaluation of td3', 'td3', 47, 'SIGINT', /^30$/],
  ['an iteration of maml', 'maml', 125, 'SIGTERM', /^1$/],
  ['an evaluation of maml', 'maml', 90, 'SIGINT', /^1$/],
] as const)(
  'in %s: an interrupt ends it after three seconds, with a checkpoint, and the best so far is published',
  async (_, algorithm, count, signal, step) => {
    const name = `${algorithm}-${count}`;
    const unit = algorithm === 'maml' ? 'iteration' : 'step';
    const env = await writeLine(scratch, name, {
      before: `if (count === ${count}) { console.error('from here on'); for (;;); }`,
    });
    const run = ['--run', name, '--model', name, '--store', 'st'];
    const args = ['train', algorithm, '--env', env, ...run, ...algorithms[algorithm].split(' ')];
    const running = startCommand(args, scratch);
    await running.until(/from here on/);
    const begin = performance.now();
    running.process.kill(signal);
    const { code, stderr } = await running.finished;
    // On a busy machine what follows the three seconds takes its time.
    expect(performance.now() - begin).toBeLessThan(60_000);
    expect(performance.now() - begin).toBeGreaterThan(3000);
    expect(code, stderr).toBe(1);
    const line = lastLine(stderr);
    const [checkpoint] = await readdir(join(scratch, name, 'checkpoints'));
    expect(checkpoint).toMatch(step);
    expect(line).toMatch(
      new RegExp(`training ended at ${unit} ${checkpoint}: \\./${name}\\.mjs ${place}: expected an end within`),
    );
    expect(line).toContain(given);
    expect(line).toContain(`. Go on from ${unit} ${checkpoint} with: `);
    expect(line).toContain(`hyperpolicy train ${algorithm} --run ${name} --resume`);
    // The others have only the evaluation before the first step.
    const isLearnt = count === 125 || count === 65;
    if (isLearnt) expect(line).toMatch(new RegExp(`\\(${unit} \\d+\\) is version 1 of "${name}"`));

    await writeLine(scratch, name, {});
    const resumed = await runCommand(['train', algorithm, '--run', name, '--resume'], scratch);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(JSON.parse(lastLine(resumed.stdout))).toMatchObject({ step: algorithm === 'td3' ? 60 : 3 });
  },
  300_000,
);

test.concurrent('at the top of the file: an interrupt ends it before anything is written', async () => {
  const env = await writeLine(scratch, 'top', { top: "console.error('from here on'); for (;;);" });
  const running = startCommand(['train', 'td3', '--env', env, '--run', 'top', '--publish', 'none'], scratch);
  await running.until(/from here on/);
  running.process.kill('SIGTERM');
  const { code, stderr } = await running.finished;
  expect(code).toBe(1);
  expect(lastLine(stderr)).toBe(`hyperpolicy: ./top.mjs its module: expected an end within ${given}`);
  expect(await readdir(scratch)).not.toContain('top');
}, 240_000);

test.concurrent('after an interrupt a disposal has its whole time, too: a machine comes to rest', async () => {
  const wait = (ms: number) => `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${ms});`;
  const env = await writeLine(scratch, 'slow', {
    before: `console.error('from here on'); ${wait(20)}`,
    // Two instances: 3.6 s.
    disposal: `${wait(1800)} console.error('at rest');`,
  });
  const args = ['train', 'td3', '--env', env, '--run', 'slow', '--publish', 'none', ...algorithms.td3.split(' ')];
  const running = startCommand(args, scratch);
  await running.until(/from here on/);
  running.process.kill('SIGTERM');
  const { code, stderr } = await running.finished;
  expect(code, stderr).toBe(0);
  expect(stderr).toContain('at rest');
  expect(stderr).not.toContain('its thread was ended');
}, 240_000);

test.concurrent('a second interrupt ends it at once', async () => {
  const env = await writeLine(scratch, 'twice', { before: "console.error('from here on'); for (;;);" });
  const running = startCommand(
    ['train', 'td3', '--env', env, '--run', 'twice', '--publish', 'none', ...algorithms.td3.split(' ')],
    scratch,
  );
  await running.until(/from here on/);
  running.process.kill('SIGINT');
  await running.until(/A second one ends at once/);
  // One that follows within half a second is the first again, handed on.
  const again = setInterval(() => running.process.kill('SIGINT'), 100);
  const { code, stderr } = await running.finished;
  clearInterval(again);
  expect(code).toBe(null);
  expect(lastLine(stderr)).toContain('SIGINT again: ended at once');
}, 240_000);
