/** How MAML runs end that do not reach their last iteration: what is kept, what is published, and what the person is told. */

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Running, startCommand } from '../../../clients/command.ts';
import { type Fault, writeLine } from '../../line-file.ts';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'maml-ends-test-'));
});
afterAll(() => rm(scratch, { recursive: true }));

/**
 * An evaluation has 2 x 2 x 2 x 5 = 40 steps, an iteration 2 x 3 x 2 x 5 = 60, without an inner step 30: the second iteration begins after
 * 140, without an inner step after 110.
 */
const sizes = '--tasks 3 --episodes 2 --eval-tasks 2 --eval-episodes 2 --eval-every 1 --threads 1';
const networks = '--trunk 8 --dynamic-hidden 8 --hidden 8';

async function train(name: string, fault: Fault, policy: string, iterationCount = 50): Promise<Running> {
  const env = await writeLine(scratch, name, fault);
  const settings = [
    ...sizes.split(' '),
    ...networks.split(' '),
    '--policy',
    policy,
    '--iterations',
    `${iterationCount}`,
    '--checkpoint-every',
    '1000',
  ];
  return startCommand(
    ['train', 'maml', '--env', env, '--run', name, '--model', name, '--store', 'st', ...settings],
    scratch,
  );
}

async function metricsOf(run: string): Promise<Record<string, number>[]> {
  const text = await readFile(join(scratch, run, 'metrics.jsonl'), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1)!;

test('episodes that the simulator cuts are counted and told', async () => {
  // The iteration's steps, from 41 on, go through the six episodes by turns: of each set the second and the fifth are cut at once.
  const fault = { before: 'if (count > 40 && count % 3 === 0) return false;' };
  const { code, stderr } = await (await train('unstable', fault, 'maml', 1)).finished;
  expect(code, stderr).toBe(0);
  const [, iteration] = await metricsOf('unstable');
  expect(iteration).toMatchObject({ step: 1, divergedEpisodes: 4, environmentSteps: 40 });
  const log = await readFile(join(scratch, 'unstable', 'train.log'), 'utf8');
  expect(log).toContain('"step":1,"divergedEpisodes":4,"msg":"the simulator diverged; the episodes were cut"');
});

test('an environment of which no step can be used is refused', async () => {
  const { code, stderr } = await (await train('dead', { before: 'return false;' }, 'maml')).finished;
  expect(code).toBe(1);
  expect(lastLine(stderr)).toContain(
    'train maml: episodes: expected steps to learn from, got 4 episodes in each of which the simulator became unstable at the first step',
  );
});

test.each([
  [
    'throws',
    'maml',
    { before: "if (count === 160) throw new Error('sensor lost');" },
    /: \.\/throws\.mjs advance, step \d of an episode: .*sensor lost at throws\.mjs:\d+/,
  ],
  [
    'spike',
    'hyper-maml',
    { reward: 'count === 160 ? 3e38 : -Math.abs(this.x - this.goal)' },
    /a reward between .* as the loss/,
  ],
  ['far', 'multi-task-hyper', { observed: 'count >= 130 ? 1e30 : this.x' }, /baseline: .* values that are too large/],
] as [string, string, Fault, RegExp][])(
  'an environment that has a fault (%s) leaves a checkpoint, the best policy so far is published, and one line says so',
  async (name, policy, fault, expected) => {
    const { code, stderr } = await (await train(name, fault, policy)).finished;
    const line = lastLine(stderr);
    expect(code, stderr).toBe(1);
    expect(line).toMatch(expected);
    expect(line).toContain('training ended at iteration 1');
    expect(line).toContain(`The best policy so far (iteration 1) is version 1 of "${name}"`);
    expect(line).toContain('. Go on from iteration 1 with: ');
    expect(line).toContain(`hyperpolicy train maml --run ${name} --resume`);
    expect(await readdir(join(scratch, name, 'checkpoints'))).toEqual(['1']);
  },
  240_000,
);

test.each([
  ['an evaluation', '90', 1, 'SIGTERM'],
  ['an iteration', '55', 0, 'SIGINT'],
] as const)(
  'an interrupt within %s ends it there, with a checkpoint',
  async (what, from, iteration, signal) => {
    const name = what.replace(/\W/g, '');
    // From then on a step takes so long that what is in progress would need minutes.
    const slow = `if (count === ${from}) console.error('slow from here'); if (count >= ${from}) { const until = performance.now() + 2000; while (performance.now() < until); }`;
    const running = await train(name, { before: slow }, 'multi-task-hyper');
    await running.until(/slow from here/);
    running.process.kill(signal);
    const { code, stdout, stderr } = await running.finished;
    expect(code, stderr).toBe(0);
    expect(stderr).toContain(`Interrupted at iteration ${iteration}`);
    expect(JSON.parse(lastLine(stdout))).toMatchObject({ step: iteration });
    expect(await readdir(join(scratch, name, 'checkpoints'))).toEqual([`${iteration}`]);
  },
  240_000,
);
