/** `hyperpolicy eval` of models that adapt, through the real server. That it earns the trainer's returns: test/trainer/algorithms/{maml,pearl}/serving.test.ts. */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createModelEnvironment } from '../../src/envs/model-environment.ts';
import { createEnvironment } from '../../src/envs/registry.ts';
import { readPackage } from '../../src/package/package.ts';
import { createPackagePolicy } from '../../trainer/rollout/policy.ts';
import type { GivenConfig } from '../../trainer/run/config.ts';
import { train } from '../../trainer/train.ts';
import { startTestServer } from '../server/fixtures.ts';
import { runCommand } from './command.ts';

const scratch = await mkdtemp(join(tmpdir(), 'eval-adapts-test-'));
const store = join(scratch, 'store');
let address: string;

beforeAll(async () => {
  const learnt = { taskCount: 12, episodeCount: 8, hiddenSizes: [16] };
  await trainModel('maml', { policy: 'maml', ...learnt }, { iterationCount: 15, evaluationEpisodeCount: 8 });
  // A part of the square that holds the half circle.
  const tiny = {
    trainRange: [-1, -0.5, 0.25, 0.75],
    trainTaskCount: 2,
    taskCount: 1,
    initialStepCount: 20,
    updateCount: 2,
    explorationEpisodeCount: 3,
  };
  await trainModel('pearl', { agent: 'pearl', ...tiny }, { iterationCount: 1 });
  ({ address } = await startTestServer([], { store }, afterAll));
}, 240_000);
afterAll(() => rm(scratch, { recursive: true }));

async function trainModel(name: string, algorithm: object, loop: object): Promise<void> {
  await train({
    config: {
      environment: 'Point-Robot',
      algorithm: { name, ...algorithm } as GivenConfig & { readonly name: string },
      loop: { seed: 1, evaluationTaskCount: 2, evaluationInterval: 100, ...loop },
      threadCount: 1,
      publish: { store, model: name, which: 'last' },
    },
    runDirectory: join(scratch, name),
    stream: { write: () => true },
  });
}

async function evaluate(...args: string[]) {
  const { code, stdout, stderr } = await runCommand(['eval', '--server', address, ...args], scratch);
  expect([code, stderr]).toEqual([0, '']);
  const printed = stdout.trim().split('\n');
  return printed.map((line) => JSON.parse(line) as Record<string, number> & { readonly context?: number[] });
}

test('MAML: each task has its return before adaptation and after it, which is better', async () => {
  const lines = await evaluate('--model', 'maml', '--tasks', '3', '--seed', '5', '--episodes', '2');
  const [first, second, third, means] = lines;
  expect(lines).toHaveLength(4);
  expect(lines.slice(0, 3)).toMatchObject([5, 6, 7].map((seed, task) => ({ task, seed, steps: (8 + 2) * 20 })));
  // As many episodes adapt as in the trainer's evaluations.
  expect(means).toMatchObject({ model: 'maml', version: 1, tasks: 3, adaptEpisodes: 8, episodes: 2 });
  const meanOf = (name: string) => (first![name]! + second![name]! + third![name]!) / 3;
  expect(means!.meanReturnBefore).toBeCloseTo(meanOf('returnBefore'), 9);
  expect(means!.meanReturnAfter).toBeCloseTo(meanOf('returnAfter'), 9);
  // Without adaptation both are those of the same policy.
  expect(means!.meanReturnAfter!).toBeGreaterThan(means!.meanReturnBefore! + 4);
});

test.each(['maml', 'pearl'])('%s: a task is a function of its seed, with the same returns again', async (model) => {
  const args = ['--model', model, '--adapt-episodes', '2'];
  const [first, second] = await evaluate(...args, '--tasks', '2');
  const [again] = await evaluate(...args, '--seed', '1');
  const ofTask = ({ seed, context, returnBefore, returnAfter, steps }: NonNullable<typeof first>) => ({
    ...{ seed, context, returnBefore, returnAfter, steps },
  });
  expect(ofTask(again!)).toEqual(ofTask(second!));
  expect(first!.context).not.toEqual(second!.context);
  // What the environment draws, or one of the range that its run was given.
  const env = await createEnvironment('Point-Robot');
  env.reset(1);
  const [x, y] = second!.context!;
  if (model === 'maml') expect([x, y]).toEqual([...env.context!]);
  else expect([x! > -1, x! < -0.5, y! > 0.25, y! < 0.75]).toEqual([true, true, true, true]);
  env.dispose();
});

test('a task may be given, also beyond the range of the training', async () => {
  const given = ['--model', 'pearl', '--tasks', '2', '--context', '0.6,0.8'];
  const [first, second] = await evaluate(...given);
  expect([first!.context, second!.context]).toEqual([
    [0.6, 0.8],
    [0.6, 0.8],
  ]);
  // An episode may begin in another state of the same task: z is another.
  expect(first!.returnAfter).not.toBe(second!.returnAfter);
  const wrong = await runCommand(['eval', '--server', address, '--model', 'pearl', '--context', '0.6'], scratch);
  expect(wrong.stderr).toBe(
    'hyperpolicy: Point-Robot.reset: expected a context of 2 finite values (goal.x, goal.y), got 1 values\n',
  );
});

test('a range of other tasks than the environment has is refused', async () => {
  const environment = 'Point-Robot';
  const taskRange = { low: [0], high: [1] };
  await expect(
    createModelEnvironment({ model: 'm', environment, taskRange }, { own: undefined, where: 'eval' }),
  ).rejects.toThrow(
    'tasks of Point-Robot: expected a model trained in tasks of 2 values, got one trained in tasks of 1. The environment has changed',
  );
});

test('PEARL: as many episodes adapt as in its evaluations, unless it is told another number, even none', async () => {
  const counts = async (...args: string[]) => {
    const lines = await evaluate('--model', 'pearl', ...args);
    const { adaptEpisodes, episodes, meanReturnBefore } = lines.at(-1)!;
    return { adaptEpisodes, episodes, hasBefore: meanReturnBefore !== undefined, steps: lines[0]!.steps };
  };
  expect(await counts()).toEqual({ adaptEpisodes: 3, episodes: 1, hasBefore: true, steps: 80 });
  const none = ['--adapt-episodes', '0', '--episodes', '2'];
  expect(await counts(...none)).toEqual({ adaptEpisodes: 0, episodes: 2, hasBefore: false, steps: 40 });
});

test.each(['maml', 'pearl'])(
  'rollout plays %s in process with the returns of eval, and draws it adapted or not',
  async (model) => {
    const rollout = async (...args: string[]) => {
      const asked = ['rollout', '--env', 'Point-Robot', '--policy', model, '--store', store, '--seed', '5', ...args];
      const { code, stdout, stderr } = await runCommand(asked, scratch);
      expect([code, stderr]).toEqual([0, '']);
      return stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
    };
    const counts = ['--episodes', '3', '--adapt-episodes', '2'];
    const served = await evaluate('--model', model, '--seed', '5', ...counts);
    const own = await rollout(...counts, '--out', 'after.json');
    const [picture, ...played] = [own[2], ...own.slice(0, 2), ...own.slice(3, -1)];
    expect(picture).toMatchObject({ picture: 'after.json' });
    expect(played.map(({ episode, adaptation, steps }) => [adaptation, episode, steps])).toEqual(
      [
        ['before', 0],
        ['before', 1],
        ['after', 0],
        ['after', 1],
        ['after', 2],
      ].map((one) => [...one, 20]),
    );
    const { meanReturnBefore, meanReturn, ...rest } = own.at(-1);
    expect(rest).toEqual({ environment: 'Point-Robot', policy: model, adaptEpisodes: 2, episodes: 3 });
    expect(meanReturnBefore).toBeCloseTo(served.at(-1)!.meanReturnBefore!, 4);
    expect(meanReturn).toBeCloseTo(served.at(-1)!.meanReturnAfter!, 4);

    // Without adaptation the first episode is the first before adaptation.
    const [, first] = await rollout('--adapt-episodes', '0', '--out', 'before.json');
    expect(first).toEqual(own[0]);
    const poses = async (file: string) => JSON.parse(await readFile(join(scratch, file), 'utf8')).poses as number[][];
    expect(await poses('before.json')).toHaveLength(21);
    expect(await poses('after.json')).not.toEqual(await poses('before.json'));
    // As many episodes adapt as in its evaluations.
    expect((await rollout()).at(-1)).toMatchObject({ adaptEpisodes: model === 'maml' ? 8 : 3, episodes: 1 });
  },
  60_000,
);

test('rollout refuses --adapt-episodes of a policy that does not adapt', async () => {
  const args = ['rollout', '--env', 'Point-Robot', '--policy', 'zero', '--adapt-episodes', '2'];
  expect((await runCommand(args, scratch)).stderr).toBe(
    'hyperpolicy: --adapt-episodes: expected a model that adapts to experience, got "zero", which does not. Leave it out; --episodes is the number of episodes\n',
  );
});

test.each([
  [
    ['--model', 'maml', '--adapt-episodes', '0'],
    '--adapt-episodes: expected at least 1, since "maml" adapts its weights to them, got 0. Give one: --adapt-episodes 10',
  ],
  [
    ['--model', 'maml', '--env', 'Pendulum-v1'],
    'eval Pendulum-v1: expected a model for the environment\'s observation 3, action 1, no context, got "maml" for observation 2, action 2, no context. Name one that has its specs with --env, as "Point-Robot" had',
  ],
])('%j is refused', async (args, text) => {
  const { code, stderr } = await runCommand(['eval', '--server', address, ...args], scratch);
  expect([code, stderr]).toEqual([1, expect.stringContaining(`hyperpolicy: ${text}`)]);
});

test('more steps than the server takes in a request are refused by it, with the limit', async () => {
  const server = await startTestServer([], { store, rowCountMax: 32 });
  const args = ['eval', '--server', server.address, '--model', 'maml', '--adapt-episodes', '2'];
  const { code, stdout, stderr } = await runCommand(args, scratch);
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toContain(
    'Adapt observation: expected at most 32 rows, got 40. All steps of an adaptation go in one request: send fewer, or start the server with a larger --max-rows',
  );
});

test('models whose packages say nothing, or that do not adapt', async () => {
  const env = await createEnvironment('Point-Robot');
  const environment = { name: 'Point-Robot', ...env.specs };
  env.dispose();
  const random = { critic: 'none', environment, hiddenSize: 8 } as const;
  const server = await startTestServer([
    { ...random, model: 'adapts', policy: 'hyper', stochastic: true, adapt: true },
    { ...random, model: 'still', policy: 'plain' },
  ]);
  const run = (...args: string[]) => runCommand(['eval', '--server', server.address, ...args], scratch);
  expect((await run('--model', 'adapts')).stderr).toBe(
    'hyperpolicy: --adapt-episodes: expected a count, since "adapts" does not say how many its trainer had, got none. Give one: --adapt-episodes 10\n',
  );
  const told = await run('--model', 'adapts', '--adapt-episodes', '2');
  expect(JSON.parse(told.stdout.split('\n')[0]!)).toMatchObject({ task: 0, steps: 60 });
  for (const flag of ['--tasks', '--adapt-episodes']) {
    expect((await run('--model', 'still', flag, '2')).stderr).toBe(
      `hyperpolicy: ${flag}: expected a model that adapts to experience, got "still", which does not. Leave it out; --episodes is the number of episodes\n`,
    );
  }
});

test('a policy that does not adapt its model names rollout and eval as the ways', async () => {
  const env = await createEnvironment('Point-Robot');
  for (const model of ['maml', 'pearl']) {
    const content = await readPackage(join(store, model, '1'));
    expect(() => createPackagePolicy(content, { specs: env.specs, threadCount: 1 })).toThrow(
      model === 'maml'
        ? 'This model adapts to experience, which hyperpolicy rollout and eval play'
        : 'expected a policy that acts without experience of its task, got one that infers its context from it. This model adapts to experience, which',
    );
  }
  env.dispose();
});
