/** Whole runs by the command: results, resume after a kill, learning, and what is refused. */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readPackage } from '../../../../src/package/package.ts';
import { commandRuns } from '../../command-runs.ts';
import { writeLine } from '../../line-file.ts';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'pearl-run-test-'));
});
afterAll(() => rm(scratch, { recursive: true }));

const settings = (
  '--env Point-Robot --threads 1 --trunk 12 --dynamic-hidden 10 --hidden 16,16 --encoder-hidden 16 --latent 3 --train-tasks 6 ' +
  '--tasks 3 --initial-steps 80 --prior-steps 40 --posterior-steps 40 --updates 20 --meta-batch 3 --batch-size 16 --context-batch 12 ' +
  '--eval-tasks 4 --replay-capacity 500 --context-capacity 100'
).split(' ');

const { train, finish, left } = commandRuns('pearl', () => scratch);

test.each([
  ['hyper-pearl', []],
  ['pearl', ['--encoder', 'pearl-gru-encoder']],
])(
  '%s %j: a run that is killed in mid-iteration and resumed equals one that was not, bit for bit',
  async (agent, more) => {
    const all = [...settings, '--agent', agent, ...more, '--iterations', '4', '--eval-every', '2'];
    const whole = `whole-${agent}`;
    const result = await finish(whole, [...all, '--checkpoint-every', '4']);
    expect(result).toMatchObject({ step: 4, testReturn: expect.any(Number) });
    expect(result).not.toHaveProperty('outOfRangeReturn');
    const killed = train(`killed-${agent}`, [...all, '--checkpoint-every', '1']);
    await killed.until(/iteration 2: training/);
    killed.process.kill('SIGKILL');
    await killed.finished;
    expect((await left(`killed-${agent}`)).step).toBeLessThan(4);
    const resumed = await finish(`killed-${agent}`, ['--resume']);
    expect(resumed.testReturn).toBe(result.testReturn);
    expect(await left(`killed-${agent}`)).toEqual(await left(whole));
  },
  240_000,
);

test('Ctrl-C leaves a checkpoint inside an iteration', async () => {
  const all = [...settings, '--agent', 'hyper-pearl', '--iterations', '2', '--updates', '1000000'];
  const stopped = train('stopped', all);
  await stopped.until(/test tasks/);
  stopped.process.kill('SIGINT');
  const { stderr } = await stopped.finished;
  expect(stderr).toContain('--resume');
  expect((await left('stopped')).step).toBe(0);
}, 240_000);

test('tasks out of the training range are tested apart, with any range by flag', async () => {
  const all = [...settings, '--agent', 'oracle-context', '--iterations', '1'];
  const result = await finish('ranges', [...all, '--train-range', '-1,0,0,1', '--test-range', '0.5,1,0,0.5']);
  expect(result.testReturn).toBeLessThan(0);
  expect(result.outOfRangeReturn).toBeLessThan(0);
  expect(result.outOfRangeReturn).not.toBe(result.testReturn);
}, 240_000);

test('every iteration tells what it collected and what the updates came to', async () => {
  const { records } = await left('whole-hyper-pearl');
  const iterations = records.filter((record) => 'qLoss' in record);
  expect(iterations.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
  for (const record of iterations) {
    expect(record.kl).toBeGreaterThan(0);
    expect(record.trainReturn).toBeLessThan(0);
  }
  // 6 tasks x 80 steps before the first, then 3 tasks x (40 + 40) of each.
  expect(iterations.map(({ environmentSteps }) => environmentSteps)).toEqual([720, 240, 240, 240]);
  expect(records.filter((record) => 'testReturn' in record).map(({ step }) => step)).toEqual([0, 2, 4]);
});

test('critics that diverge are told, once, and those that learn are not', async () => {
  const all = [...settings, '--agent', 'pearl', '--iterations', '6', '--eval-every', '6'];
  const wild = '--q-lr 0.3 --value-lr 0.3 --tau 1 --gamma 0.99'.split(' ');
  const warnings = async (run: string, more: readonly string[]) => {
    const { stderr } = await train(run, [...all, ...more]).finished;
    return stderr.split('\n').filter((line) => line.includes('the critics diverge'));
  };
  const [warning, ...others] = await warnings('wild', wild);
  expect(others).toEqual([]);
  expect(warning).toMatch(/^warning: .*Lower learning rates may help \(--q-lr, --value-lr, --policy-lr\)/);
  const { targetMean, largest } = Object.fromEntries(
    [...warning!.matchAll(/(targetMean|largest) (-?[\d.e+]+)/g)].map(([, name, value]) => [name, Number(value)]),
  ) as { targetMean: number; largest: number };
  expect(Math.abs(targetMean)).toBeGreaterThan(2 * largest);
  // A reward of -1 times 20 in each step adds up to 2000.
  expect(largest).toBeGreaterThan(1000);
  expect(await warnings('tame', [])).toEqual([]);
}, 240_000);

test('the sparse point robot: updates learn from the distance, returns count what is near; another environment has no dense reward', async () => {
  const dense = (environment: string) => [
    ...settings.map((word) => (word === 'Point-Robot' ? environment : word)),
    ...['--agent', 'pearl', '--iterations', '1', '--updates', '1', '--learning-reward', 'dense'],
  ];
  const { testReturn } = await finish('sparse', dense('Point-Robot-Sparse'));
  expect(testReturn).toBeGreaterThanOrEqual(0);
  // With V near 0 at the start, the loss of both Qs is about twice the mean square of 5 times a distance near 1; of its own rewards, most
  // of which are 0, it would be near 0.
  const { records } = await left('sparse');
  expect(records.find((record) => 'qLoss' in record)!.qLoss).toBeGreaterThan(25);
  const refused = train('refused', dense('Point-Robot'));
  expect((await refused.finished).stderr).toContain(
    'PEARL learningReward: expected own, as the environment has no dense reward, got dense',
  );
}, 240_000);

test('the baselines have no encoder, and keep nothing for one', async () => {
  const run = train('no-context', [...settings, '--agent', 'no-context', '--iterations', '1']);
  const { code, stderr } = await run.finished;
  expect(code, stderr).toBe(0);
  expect(stderr).toContain('replay: 6 tasks x 500 transitions, at most 1 MiB');
  const { arrays, records } = await left('no-context');
  expect(Object.keys(arrays).filter((name) => /encoder|replay\/context/.test(name))).toEqual([]);
  expect(Object.keys(arrays).some((name) => /replay\/all/.test(name))).toBe(true);
  expect(records.some((record) => 'kl' in record)).toBe(false);
}, 240_000);

test('episodes that the simulator cuts are counted and told', async () => {
  const env = await writeLine(scratch, 'unstable', { before: 'if (count % 50 === 0) return false;' });
  const all = settings.map((word) => (word === 'Point-Robot' ? env : word));
  await finish('unstable', [...all, '--agent', 'oracle-context', '--iterations', '1', '--updates', '1']);
  const { records } = await left('unstable');
  // 6 tasks x 80 steps before the first, then 3 tasks x (40 + 40).
  const { divergedEpisodes } = records.find((record) => 'qLoss' in record)!;
  expect(divergedEpisodes).toBeGreaterThanOrEqual(14);
  const log = await readFile(join(scratch, 'unstable', 'train.log'), 'utf8');
  expect(log).toContain(`"step":1,"divergedEpisodes":${divergedEpisodes},"msg":"the simulator diverged`);
}, 240_000);

test('an observation that no loss can hold is refused before it is kept, and the run goes on without it', async () => {
  // After the first evaluation: 4 tasks x 3 episodes x 5 steps.
  const env = await writeLine(scratch, 'far', { observed: 'count === 200 ? 1e20 : this.x' });
  const all = settings.map((word) => (word === 'Point-Robot' ? env : word));
  const small = ['--agent', 'oracle-context', '--iterations', '1', '--updates', '1'];
  const { code, stderr } = await train('far', [...all, ...small]).finished;
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /training ended at iteration 0: line, (before|after) step \d+, row \d+: expected observation value 0 \("x"\) between -1000000000000000 and 1000000000000000, .*Go on from iteration 0/,
  );
  await writeLine(scratch, 'far', {});
  expect(await finish('far', ['--resume'])).toMatchObject({ step: 1 });
}, 240_000);

test('fresh episodes have starts that no evaluation had', async () => {
  const all = settings.map((word) => (word === 'Point-Robot' ? 'HalfCheetah-Vel' : word));
  // With the task as z, equal starts would give equal returns.
  const few = ['--train-tasks', '3', '--initial-steps', '20', '--eval-tasks', '1', '--updates', '1'];
  const more = [...few, '--agent', 'oracle-context', '--iterations', '1', '--publish', 'last', '--eval-episodes', '2'];
  const { testReturn, freshReturn, directory } = await finish('fresh', [...all, ...more]);
  const { manifest } = await readPackage(String(directory));
  expect(manifest.training.freshEpisodeCount).toBe(2);
  expect(freshReturn).toBeLessThan(0);
  expect(freshReturn).not.toBe(testReturn);
}, 240_000);
