/** Whole runs by the command: results, resume after a kill, and what is refused. */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readPackage } from '../../../../src/package/package.ts';
import { loadLearner } from '../../../../trainer/run/kept-learners.ts';
import { commandRuns } from '../../command-runs.ts';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'maml-run-test-'));
});
afterAll(() => rm(scratch, { recursive: true }));

const settings = '--env Point-Robot --tasks 6 --episodes 4 --eval-tasks 4 --eval-episodes 3 --threads 1'.split(' ');
const sizes = ['--trunk', '16', '--dynamic-hidden', '12', '--hidden', '16'];

const { train, finish, left } = commandRuns('maml', () => scratch);

test('a run that is killed and resumed equals one that was not, bit for bit', async () => {
  const all = [...settings, ...sizes, '--policy', 'hyper-maml', '--inner-lr', '0.01', '--iterations', '5'];
  const more = [...all, '--checkpoint-every', '1', '--eval-every', '2', '--keep-at', '2,4'];
  const result = await finish('whole', more);
  expect(result).toMatchObject({ step: 5, preReturn: expect.any(Number), postReturn: expect.any(Number) });
  const killed = train('killed', more);
  await killed.until(/iteration 3: training/);
  killed.process.kill('SIGKILL');
  expect((await killed.finished).code).toBeNull();
  expect((await left('killed')).step).toBeLessThan(5);
  const resumed = await finish('killed', ['--resume']);
  expect(resumed.preReturn).toBe(result.preReturn);
  expect(await left('killed')).toEqual(await left('whole'));
  for (const step of [2, 4]) {
    const kept = (run: string) => loadLearner(join(scratch, run), step);
    expect(await kept('killed')).toEqual(await kept('whole'));
  }
}, 240_000);

test('every iteration tells returns before and after, and how the outer step went', async () => {
  const { records } = await left('whole');
  const iterations = records.filter((record) => 'backtracks' in record);
  expect(iterations).toHaveLength(5);
  for (const record of iterations) {
    expect(record.accepted).toBe(1);
    expect(record.kl).toBeLessThan(0.01);
    expect(record.kl).toBeGreaterThan(0);
    expect(record.improvement).toBeGreaterThan(0);
    expect(record.cgResidualSquared).toBeGreaterThan(0);
    expect(record.environmentSteps).toBe(2 * 6 * 4 * 20);
  }
  const tests = records.filter((record) => 'testPostReturn' in record);
  expect(tests.map(({ step }) => step)).toEqual([0, 2, 4, 5]);
  const curve = await readFile(join(scratch, 'whole', 'learning-curve.svg'), 'utf8');
  for (const label of ['before adaptation', 'after adaptation', 'iterations']) expect(curve).toContain(label);
});

test('a policy whose adapted weights no package can hold is refused before it is trained', async () => {
  const wide = [...settings, '--policy', 'maml', '--hidden', '700,700', '--iterations', '1'];
  // Later options count: the runs of these tests publish nothing.
  const { code, stderr } = await train('wide', [...wide, '--publish', 'last']).finished;
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: expect.stringContaining(
      'train maml: expected a policy of at most 400000 weights in a task, as its package holds an adapted one, got ',
    ),
  });
  await finish('wide', wide);
}, 120_000);

test('a discount of 0 is published as such', async () => {
  const all = [...settings, ...sizes, '--policy', 'hyper-maml', '--gamma', '0', '--iterations', '1'];
  const { directory } = await finish('greedy', [...all, '--publish', 'last']);
  const { manifest } = await readPackage(String(directory));
  expect(manifest.adapt!.discount).toBe(0);
}, 120_000);

test('a policy without an inner step acts once an iteration, and has one curve', async () => {
  await finish('once', [...settings, ...sizes, '--policy', 'multi-task-hyper', '--iterations', '2']);
  expect(await readFile(join(scratch, 'once', 'learning-curve.svg'), 'utf8')).not.toContain('adaptation');
  const iterations = (await left('once')).records.filter((record) => 'backtracks' in record);
  expect(iterations).toHaveLength(2);
  for (const record of iterations) {
    expect(record.environmentSteps).toBe(6 * 4 * 20);
    expect(record.preReturn).toBe(record.postReturn);
    expect(record.accepted).toBe(1);
  }
}, 120_000);

test('MAML learns the point robot: after adaptation it is nearer to its goals than before, and than at the start', async () => {
  const all = [...settings, ...sizes, '--policy', 'maml', '--iterations', '15', '--eval-every', '15'];
  const result = await finish('learns', [...all, '--tasks', '12', '--episodes', '8']);
  const { records } = await left('learns');
  const first = records.find((record) => 'testPostReturn' in record)!;
  expect(result.postReturn).toBeGreaterThan(first.testPostReturn! + 3);
  expect(result.postReturn).toBeGreaterThan(result.preReturn! + 3);
}, 240_000);

test.each([
  [
    ['--env', 'HalfCheetah-v5'],
    'train maml: expected an environment with tasks, such as HalfCheetah-Vel, got "HalfCheetah-v5"',
  ],
  [
    [...settings, '--policy', 'multi-task-hyper', '--inner-steps', '1'],
    'MAML inner steps of multi-task-hyper: expected none, got 1',
  ],
  [
    [...settings, '--policy', 'multi-task-hyper', '--learn-rates', 'per-tensor'],
    'MAML inner rates of multi-task-hyper: expected none that are learnt, got per-tensor',
  ],
])('%j is refused', async (args, text) => {
  const { code, stderr } = await train(`refused-${args.length}`, args).finished;
  expect(code).not.toBe(0);
  expect(stderr).toContain(text);
});
