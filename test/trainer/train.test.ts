import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { loadAlgorithm } from '../../trainer/algorithms/registry.ts';
import { td3Defaults } from '../../trainer/algorithms/td3/config.ts';
import { offPolicyDefaults } from '../../trainer/loops/off-policy-config.ts';
import { resumedConfig } from '../../trainer/run/given-settings.ts';
import { train } from '../../trainer/train.ts';

const configWith = (settings: object) => ({
  environment: 'Pendulum-v1',
  algorithm: { name: 'td3', ...td3Defaults({ architecture: 'mlp-standard' }) },
  loop: { ...offPolicyDefaults, stepCount: 10, evaluationEpisodeCount: 1 },
  threadCount: 1,
  ...settings,
});

test('the webgpu device is refused, and updates of a run that are no multiple of the policy delay', async () => {
  const stream = { write: () => true };
  const runDirectory = join(tmpdir(), 'train-test-nothing');
  await expect(train({ config: configWith({ device: 'webgpu' }), runDirectory, stream })).rejects.toThrow(
    'train: device: expected cpu, cuda or auto, got webgpu. webgpu is for serving: training there would move all parameters to the device and back at each update',
  );
  const loop = { ...offPolicyDefaults, updatesPerRun: 25 };
  await expect(train({ config: configWith({ loop }), runDirectory, stream })).rejects.toThrow(
    'train: updatesPerRun: expected 1 or a multiple of 2, the updates of the critics for one of the actor, got 25',
  );
  expect(existsSync(runDirectory)).toBe(false);
});

test('an environment with a context is refused before anything is written', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'train-test-'));
  const runDirectory = join(scratch, 'run');
  const config = configWith({ environment: 'Point-Robot' });
  await expect(train({ config, runDirectory, stream: { write: () => true } })).rejects.toMatchObject({
    kind: 'invalid_argument',
    message:
      'train td3: expected a policy for tasks, or an environment without a context, got "Point-Robot" with context goal.x, goal.y. Choose --policy hyper or context-mlp, or mlp, which does not see the task',
  });
  expect(existsSync(runDirectory)).toBe(false);
  await rm(scratch, { recursive: true });
});

/** A file whose tasks are draws from a range of the given ends. @returns its path */
async function writeTasks(
  folder: string,
  ends: { readonly bound: number | null; readonly ranges?: string },
): Promise<string> {
  const { bound, ranges } = ends;
  const path = join(folder, `tasks-${ranges === undefined ? 'open' : 'given'}.mjs`);
  const low = bound === null ? bound : -bound;
  await writeFile(
    path,
    `export default () => ({
      name: 'tasks', episodeStepCountMax: 5, stepDurationS: 1, x: new Float64Array(2),
      specs: {
        observation: { names: ['x'], low: [null], high: [null], units: ['m'] },
        action: { names: ['a'], low: [-1], high: [1], units: ['m'] },
        context: { names: ['goal'], low: [${low}], high: [${bound}], units: ['m'], source: 'oracle' },
      },
      tasks: { draw(random, context) { context[0] = 2; }, ${ranges ?? ''} },
      begin(random, context) { this.x.set([0, context[0]]); },
      advance(action, outcome) {
        this.x[0] += action[0];
        outcome.reward = -Math.abs(this.x[0] - this.x[1]);
        outcome.terminated = false;
        return true;
      },
      observe(observation) { observation[0] = this.x[0]; },
      capture() { return { x: this.x.slice() }; },
      reinstate({ x }) { this.x.set(x); },
    });`,
  );
  return path;
}

const contextNetworks = [
  { name: 'td3', policy: 'context-mlp', critic: { architecture: 'mlp-standard' } },
  { name: 'td3', policy: 'mlp', critic: { architecture: 'mlp-standard' } },
  { name: 'sac', policy: 'hyper', critic: { architecture: 'mlp-standard' } },
  { name: 'maml', policy: 'context-maml' },
  { name: 'pearl', agent: 'oracle-context' },
];

test.each(contextNetworks)('tasks without a range are refused by networks that read them (%o)', async (algorithm) => {
  const scratch = await mkdtemp(join(tmpdir(), 'train-test-'));
  const runDirectory = join(scratch, 'run');
  const config = { environment: await writeTasks(scratch, { bound: null }), algorithm, threadCount: 1 };
  await expect(train({ config, runDirectory, stream: { write: () => true } })).rejects.toThrow(
    'context value 0: expected a training range with two ends, as networks see the place of a task in it, got -Infinity to Infinity. Give tasks.ranges in the environment file, or --context-units raw',
  );
  expect(existsSync(runDirectory)).toBe(false);
  await rm(scratch, { recursive: true });
});

test('tasks that are all the same, and raw ones without a range, are trained in', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'train-test-'));
  const same = await writeTasks(scratch, { bound: 3, ranges: 'ranges: { train: [[2, 2]], test: [[2, 2]] }' });
  const open = await writeTasks(scratch, { bound: null });
  const critic = { architecture: 'mlp-standard', hiddenSizes: [8] };
  const loop = { stepCount: 20, warmUpStepCount: 8, evaluationEpisodeCount: 1 };
  for (const [environment, settings] of [
    [same, {}],
    [open, { contextUnits: 'raw' }],
  ] as const) {
    const config = {
      ...{ environment, loop, threadCount: 1 },
      algorithm: { name: 'td3', policy: 'context-mlp', critic, batchSize: 4, ...settings },
    };
    const runDirectory = join(scratch, `run-${environment === same}`);
    const { run } = await train({ config, runDirectory, stream: { write: () => true } });
    expect(run.results.evaluationReturn).toBeLessThan(0);
  }
  await rm(scratch, { recursive: true });
});

test('a run from code is resumed with the settings that it was begun with, or not at all', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'train-test-'));
  const runDirectory = join(scratch, 'run');
  const stream = { write: () => true };
  const begin = configWith({});
  await train({ config: begin, runDirectory, stream });
  const written = readFileSync(join(runDirectory, 'config.json'), 'utf8');
  const resume = (config: ReturnType<typeof configWith>) => train({ config, runDirectory, stream, resume: true });
  await expect(resume({ ...begin, algorithm: { ...begin.algorithm, gamma: 0.5 } })).rejects.toThrow(
    `resume: expected the settings that the run began with, algorithm.gamma: 0.99, got algorithm.gamma: 0.5. Change them back, in ${join(runDirectory, 'config.json')} or in the code that gives them, or begin another run`,
  );
  await expect(resume({ ...begin, loop: { ...begin.loop, seed: 2 } as typeof begin.loop })).rejects.toThrow(
    'resume: expected the settings that the run began with, loop.seed: 0, got loop.seed: 2. ',
  );
  expect(readFileSync(join(runDirectory, 'config.json'), 'utf8')).toBe(written);
  const { run } = await resume({ ...begin, loop: { ...begin.loop, stepCount: 12 } });
  expect(run.step).toBe(12);
  await rm(scratch, { recursive: true });
});

/** A run of ten steps in a folder of its own, and the command line's way to go on with it. */
async function begunRun() {
  const scratch = await mkdtemp(join(tmpdir(), 'train-test-'));
  onTestFinished(() => rm(scratch, { recursive: true }));
  const runDirectory = join(scratch, 'run');
  const stream = { write: () => true };
  await train({ config: configWith({}), runDirectory, stream });
  const td3 = await loadAlgorithm('td3');
  const steps = { flag: '--steps', path: ['loop', 'stepCount'] };
  const resume = async (stepCount: number) => {
    const publishDefaults = { store: 's', which: 'none' } as const;
    const given = { flags: [{ ...steps, value: stepCount }], publish: {}, publishDefaults };
    return train({ config: resumedConfig(td3, runDirectory, given), runDirectory, stream, resume: true });
  };
  return { runDirectory, resume };
}

test('a run whose config.json is gone goes on once it is written again from the log, and another directory takes a new run', async () => {
  const { runDirectory, resume } = await begunRun();
  const config = join(runDirectory, 'config.json');
  const log = join(runDirectory, 'train.log');
  rmSync(config);
  const refusal = `run directory "${runDirectory}": expected the config of the run in it, got no config.json. `;
  const another = 'To begin another run leave out --resume, and name another directory with --run';
  await expect(resume(12)).rejects.toThrow(
    `${refusal}To go on write it again: train.log has its content at each start, as "config". ${another}`,
  );
  const [start] = readFileSync(log, 'utf8').split('\n');
  writeFileSync(config, JSON.stringify((JSON.parse(start!) as { config: object }).config));
  expect((await resume(12)).run.step).toBe(12);
  rmSync(config);
  rmSync(log);
  await expect(resume(14)).rejects.toThrow(`${refusal}Put it back to go on. ${another}`);
});

test('a run whose config.json was edited is refused by its checkpoint, each setting that differs is named, and what a run may change is not', async () => {
  const { runDirectory, resume } = await begunRun();
  const path = join(runDirectory, 'config.json');
  const written = readFileSync(path, 'utf8');
  const edited = written
    .replace('"gamma": 0.99', '"gamma": 0.5')
    .replace(/"hiddenSizes": \[[^\]]*\]/, '"hiddenSizes": [8]');
  writeFileSync(path, edited);
  await expect(resume(12)).rejects.toThrow(
    `resume: expected the settings that the run began with, algorithm.critic.hiddenSizes: [256,256], algorithm.gamma: 0.99, got algorithm.critic.hiddenSizes: [8], algorithm.gamma: 0.5. Change them back, in ${path} or in the code that gives them, or begin another run`,
  );
  expect(readFileSync(path, 'utf8')).toBe(edited);
  writeFileSync(path, written.replace('"evaluationInterval": 5000', '"evaluationInterval": 6'));
  expect((await resume(12)).run.evaluations.map(({ step }) => step)).toEqual([0, 10, 12]);
});

test('a checkpoint of a former version, which has no settings, is gone on from', async () => {
  const { runDirectory, resume } = await begunRun();
  const path = join(runDirectory, 'checkpoints', '10', 'checkpoint.json');
  const { sha256: _, ...checkpoint } = JSON.parse(readFileSync(path, 'utf8'));
  expect(checkpoint.state.parts.settings.algorithm.gamma).toBe(0.99);
  delete checkpoint.state.parts.settings;
  writeFileSync(path, JSON.stringify(checkpoint));
  expect((await resume(12)).run.step).toBe(12);
});

test('a setting that nothing reads is told when a run begins, and not again when it goes on', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'train-test-'));
  const critic = { architecture: 'mlp-small', hiddenSizes: [8], trunkSizes: [8] };
  const told: string[] = [];
  const options = { runDirectory: join(scratch, 'run'), stream: { write: (text: string) => told.push(text) > 0 } };
  const config = configWith({ algorithm: { name: 'td3', critic } });
  await train({ ...options, config });
  const longer = { ...config, loop: { ...config.loop, stepCount: 12 } };
  await train({ ...options, config: longer, resume: true });
  expect(told.join('').match(/^warning: .*(?=:)/gm)).toEqual([
    'warning: critic "mlp-small" does not use --trunk (critic.trunkSizes)',
    expect.stringContaining('nothing is learnt in 10 steps'),
    expect.stringContaining('nothing is learnt in 12 steps'),
  ]);
  await rm(scratch, { recursive: true });
});

test('resuming where there is no run is refused, and nothing is written', async () => {
  const runDirectory = join(tmpdir(), 'train-test-nothing');
  const resume = { runDirectory, stream: { write: () => true }, resume: true };
  await expect(train({ config: configWith({}), ...resume })).rejects.toThrow(
    `run directory "${runDirectory}": expected a run, got nothing there. Name the run with --run. To begin a new one leave out --resume`,
  );
  expect(existsSync(runDirectory)).toBe(false);
});

test('a model that can have no further version is refused before the training', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'train-test-'));
  const store = join(scratch, 'store');
  await mkdir(join(store, 'full', '4294967295'), { recursive: true });
  const runDirectory = join(scratch, 'run');
  const config = configWith({ publish: { store, model: 'full', which: 'best' } });
  await expect(train({ config, runDirectory, stream: { write: () => true } })).rejects.toThrow(
    `${join(store, 'full')}: expected a version below 4294967295, the largest that messages carry, as the newest, got 4294967295`,
  );
  expect(existsSync(runDirectory)).toBe(false);
  await rm(scratch, { recursive: true });
});
