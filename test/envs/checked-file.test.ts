/** What a user's environment file gives wrongly is refused where it happens, with member, episode and step. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Env } from '../../src/envs/env.ts';
import { loadEnvFile } from '../../src/envs/env-file.ts';
import { withTasksInTurn } from '../../src/envs/model-environment.ts';
import { stateRowOf } from '../../src/envs/state-row.ts';

const folder = mkdtempSync(join(tmpdir(), 'hyperpolicy-checked-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Parts of a task by name; `specs` and the like are as source text too. */
const taskParts = {
  name: `'mass'`,
  observation: `{ names: ['x', 'v'], low: [null, null], high: [null, null], units: ['m', 'm/s'] }`,
  action: `{ names: ['force'], low: [-1], high: [1], units: ['N'] }`,
  context: 'null',
  limit: '10',
  begin: 'begin(random) { this.x.set([random.uniform(), 0]); },',
  advance:
    'advance(action, outcome) { this.x[0] += action[0]; outcome.reward = -1; outcome.terminated = false; return true; },',
  observe: 'observe(out) { out.set(this.x); },',
  capture: 'capture() { return { x: this.x }; },',
  reinstate: 'reinstate({ x }) { this.x.set(x); },',
  more: '',
};

let count = 0;

/** A file whose `default` starts in line 1, with some parts replaced; parts come one a line. */
async function load(parts: Partial<typeof taskParts> = {}): Promise<Env> {
  const p = { ...taskParts, ...parts };
  const path = join(folder, `mine${count++}.mjs`);
  const source = [
    'export default () => ({',
    `name: ${p.name}, specs: { observation: ${p.observation}, action: ${p.action}, context: ${p.context} },`,
    `episodeStepCountMax: ${p.limit}, stepDurationS: 0.1, x: new Float64Array(2),`,
    ...[p.begin, p.advance, p.observe, p.capture, p.reinstate, p.more],
    '});',
  ];
  writeFileSync(path, source.join('\n'));
  return loadEnvFile(path);
}

/** The message of what fails, with the folder left out. */
async function messageOf(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    expect((error as Error).name).toBe('HyperpolicyError');
    return (error as Error).message.replaceAll(`${folder}/`, '').replaceAll(/mine\d+/g, 'mine');
  }
  throw new Error('expected a refusal, got none');
}

/** Two episodes of at most three steps. */
function play(env: Env): void {
  for (const seed of [1, 2]) {
    env.reset(seed);
    for (let step = 0; step < 3; step++) env.step([0.5]);
  }
}

test('a task that keeps the contract plays', async () => {
  const env = await load();
  play(env);
  expect(env.reset(1).observation).toHaveLength(2);
});

const advance = (body: string) => ({ advance: `advance(action, outcome) { this.n = (this.n ?? 0) + 1; ${body} },` });
const good = 'outcome.reward = 0; outcome.terminated = false; return true;';

describe('a slip of a member', () => {
  test.each<[string, Partial<typeof taskParts>, string]>([
    [
      'async advance',
      { advance: `async ${taskParts.advance}` },
      'mine.mjs advance, episode 1 step 1: expected a value at once, got a promise. Environments are synchronous: leave out async and await',
    ],
    [
      'async begin',
      { begin: `async ${taskParts.begin}` },
      'mine.mjs begin, episode 1: expected a value at once, got a promise.',
    ],
    [
      'async observe that fails',
      { observe: `async observe() { throw new Error('late'); },` },
      'mine.mjs observe, episode 1: expected a value at once, got a promise.',
    ],
    [
      'nothing returned',
      advance('outcome.reward = 0;'),
      'mine.mjs advance, episode 1 step 1: expected true, or false where the simulation became unstable, got undefined',
    ],
    [
      'a text in place of true',
      advance(`outcome.reward = 0; return 'true';`),
      'expected true, or false where the simulation became unstable, got the text "true"',
    ],
    [
      'a reward that throws when it is read',
      advance(`Object.defineProperty(outcome, 'reward', { get() { throw new Error('sensor lost'); } }); return true;`),
      'mine.mjs advance, episode 1 step 1: expected outcome.reward to be read without an exception, got Error: sensor lost at mine.mjs:5:',
    ],
    [
      'terminated that throws when it is read',
      advance(
        `${good.slice(0, -13)} Object.defineProperty(outcome, 'terminated', { get() { throw 'lost'; } }); return true;`,
      ),
      'expected outcome.terminated to be read without an exception, got the text "lost", which is no Error and has no line',
    ],
    [
      'info that throws when it is read',
      { ...advance(good), more: `info: { get height() { throw new Error('sensor lost'); } },` },
      'mine.mjs begin, episode 1: expected info.height to be read without an exception, got Error: sensor lost at mine.mjs:9:',
    ],
    [
      'what throws where it is asked whether it is a promise',
      advance(`return { get then() { throw new Error('sensor lost'); } };`),
      'mine.mjs advance, episode 1 step 1: expected no exception, got Error: sensor lost at mine.mjs:5:',
    ],
    [
      'terminated as a text',
      advance(`${good.replace('false', `'false'`)}`),
      'expected outcome.terminated to be true or false, got the text "false"',
    ],
    [
      'terminated as a number',
      advance(`${good.replace('false', '0')}`),
      'expected outcome.terminated to be true or false, got 0',
    ],
    [
      'a reward as a text',
      advance(`${good.replace('= 0', `= '1'`)}`),
      'expected outcome.reward to be a finite number, got the text "1"',
    ],
    [
      'a reward that is left out, later',
      advance(`if (this.n < 5) outcome.reward = 1; return true;`),
      'mine.mjs advance, episode 2 step 2: expected outcome.reward to be a finite number, got undefined',
    ],
    [
      'a reward of NaN',
      advance(good.replace('= 0', '= 0 / 0')),
      'expected outcome.reward to be a finite number, got NaN',
    ],
    [
      'a reward beyond float32',
      advance(good.replace('= 0', '= 1e39')),
      'expected outcome.reward to be a finite number that float32 can hold, got 1e+39',
    ],
    [
      'an observation returned in place of written',
      { observe: 'observe() { return this.x; },' },
      'mine.mjs observe, episode 1: expected an observation value 0 (x) to be a finite number, got NaN',
    ],
    [
      'info that is not finite, later',
      {
        ...advance(`${good.replace('return', 'this.info.height = this.n < 5 ? 1 : NaN; return')}`),
        more: 'info: { height: 0 },',
      },
      'mine.mjs advance, episode 2 step 2: expected info.height to be a finite number, got NaN',
    ],
    [
      'half an observation',
      { observe: 'observe(out) { out[0] = 1; },' },
      'expected an observation value 1 (v) to be a finite number, got NaN',
    ],
    [
      'too long an observation',
      { observe: 'observe(out) { out.set([1, 2, 3]); },' },
      'mine.mjs observe, episode 1: expected no exception, got RangeError: offset is out of bounds at mine.mjs:6:',
    ],
    [
      'an observation beyond float32',
      { observe: 'observe(out) { out.set([1, -1e39]); },' },
      'expected an observation value 1 (v) to be a finite number that float32 can hold, got -1e+39',
    ],
  ])('%s', async (_, parts, message) => {
    const env = await load(parts);
    expect(await messageOf(() => play(env))).toContain(message);
  });

  test.each(['Object.freeze(outcome);', `Object.defineProperty(outcome, 'reward', { get: () => 1 });`])(
    'an outcome is of one step alone: %s',
    async (change) => {
      const env = await load(advance(`outcome.reward = 1; ${change} return true;`));
      env.reset(1);
      expect([env.step([0]).reward, env.step([0]).reward]).toEqual([1, 1]);
    },
  );

  test('terminated does not stay from the episode before', async () => {
    const env = await load(advance('outcome.reward = 0; if (this.n === 1) outcome.terminated = true; return true;'));
    env.reset(1);
    expect(env.step([0]).terminated).toBe(true);
    env.reset(2);
    expect(env.step([0]).terminated).toBe(false);
  });

  test.each<[string, Partial<typeof taskParts>, string]>([
    [
      'an array in capture',
      { capture: 'capture() { return { x: [...this.x] }; },' },
      'mine.mjs capture, episode 1: expected "x" to be a Float64Array, got an object (Array)',
    ],
    [
      'a bare array',
      { capture: 'capture() { return this.x; },' },
      'expected an object of Float64Arrays by name, got an object (Float64Array)',
    ],
    [
      'a Map',
      { capture: 'capture() { return new Map([["x", this.x]]); },' },
      'expected an object of Float64Arrays by name, got an object (Map)',
    ],
    [
      'a name that is taken',
      { capture: 'capture() { return { observation: this.x }; },' },
      'expected names other than observation and context, got "observation"',
    ],
    [
      'a state that is not finite',
      { capture: 'capture() { return { x: Float64Array.of(1, 0 / 0) }; },' },
      'expected finite values in "x", got NaN at 1',
    ],
    ['a promise', { capture: `async ${taskParts.capture}` }, 'expected a value at once, got a promise'],
    [
      'a reinstate that forgets',
      { reinstate: 'reinstate() {},' },
      'mine.mjs reinstate, step 1 of an episode: expected capture to give "x" back as it was: ',
    ],
  ])('capture and reinstate: %s', async (_, parts, message) => {
    const env = await load(parts);
    const back = () => {
      env.reset(1);
      env.step([0.5]);
      const saved = env.save();
      env.reset(2);
      env.restore(saved);
    };
    expect(await messageOf(back)).toContain(message.replace('episode 1:', 'episode 1 step 1:'));
  });

  test.each<[string, Partial<typeof taskParts>, string]>([
    [
      'that grows',
      { capture: 'capture() { return { x: this.x, past: new Float64Array(this.n ?? 0) }; },' },
      'mine.mjs capture, episode 1 step 1: expected "past" to be as in the first state, 0 values, got 1 values. Give the same arrays in every state, as long as they can get',
    ],
    [
      'that is new',
      { capture: 'capture() { return this.n ? { x: this.x, y: this.x } : { x: this.x }; },' },
      'expected "y" to be as in the first state, none, got 2 values',
    ],
    [
      'that is no longer there',
      { capture: 'capture() { return this.n ? {} : { x: this.x }; },' },
      'expected "x" to be as in the first state, 2 values, got none',
    ],
  ])('an array %s is refused at the first step, before a checkpoint has it', async (_, parts, message) => {
    const env = await load({ ...advance(good), ...parts });
    expect(await messageOf(() => play(env))).toContain(message);
  });

  test('an array that grows later is refused as the state is saved', async () => {
    const capture = 'capture() { return { x: new Float64Array(this.n > 1 ? 3 : 2) }; },';
    const env = await load({ ...advance(good), capture });
    env.reset(1);
    env.step([0]);
    env.save();
    env.step([0]);
    expect(await messageOf(() => env.save())).toContain(
      'mine.mjs capture, episode 1 step 2: expected "x" to be as in the first state, 2 values, got 3 values',
    );
  });

  test('a capture that fails is left to who asks for a state', async () => {
    const env = await load({ capture: `capture() { throw new Error('no state'); },` });
    play(env);
    expect(await messageOf(() => env.save())).toContain('expected no exception, got Error: no state');
  });

  test('a capture that hands out what the task goes on with is copied', async () => {
    const env = await load();
    env.reset(1);
    const saved = env.save();
    const before = saved.arrays.x![0]!;
    env.step([1]);
    expect(saved.arrays.x![0]).toBe(before);
  });

  test('an exception comes with the file, the line, the episode and the step', async () => {
    const env = await load(advance(`if (this.n === 5) throw new Error('sensor lost'); ${good}`));
    expect(await messageOf(() => play(env))).toMatch(
      /^mine\.mjs advance, episode 2 step 2: expected no exception, got Error: sensor lost at mine\.mjs:5:\d+$/,
    );
  });

  test.each([
    ['a stack that is no text', `Object.assign(new Error('odd'), { stack: 5 })`, 'got Error: odd'],
    [
      'a stack that cannot be a text',
      `Object.assign(new Error('odd'), { stack: Object.create(null) })`,
      'got Error: odd',
    ],
    [
      'a stack that throws',
      `Object.defineProperty(new Error('odd'), 'stack', { get() { throw 1; } })`,
      'got Error: odd',
    ],
    [
      'no text at all',
      `Object.assign(new Error(), { toString() { throw 1; } })`,
      'got an Error without a text at mine.mjs:5',
    ],
  ])('an Error with %s is told, too', async (_, thrown, message) => {
    const env = await load(advance(`throw ${thrown};`));
    expect(await messageOf(() => play(env))).toContain(
      `mine.mjs advance, episode 1 step 1: expected no exception, ${message}`,
    );
  });

  test('what is thrown and is no Error is shown', async () => {
    const env = await load(advance(`throw 'sensor lost';`));
    expect(await messageOf(() => play(env))).toContain('got the text "sensor lost", which is no Error and has no line');
  });
});

describe('bounds that cannot be are refused as the file is loaded', () => {
  test.each([
    ['[2]', '[1]', 'mine.mjs specs action value 0 ("force"): expected low below high, got 2 and 1'],
    ['[1]', '[1]', 'expected low below high, got 1 and 1'],
    ['[-Infinity]', '[Infinity]', 'expected low and high that float32 can hold, or none, got -Infinity and Infinity'],
    ['[-1e39]', '[1]', 'expected low and high that float32 can hold, or none, got -1e+39 and 1'],
    [
      `['-1']`,
      '[1]',
      'mine.mjs: expected specs.action with names, low, high and units, got low.0 expected a number or null',
    ],
    [
      '[-1, -1]',
      '[1]',
      'mine.mjs: expected specs.action with names, low, high and units, got lists of different lengths: 1 names, 2 low, 1 high, 1 units',
    ],
  ])('%s to %s', async (low, high, message) => {
    const action = `{ names: ['force'], low: ${low}, high: ${high}, units: ['N'] }`;
    expect(await messageOf(() => load({ action }))).toContain(message);
  });
});

test('a context is checked as it is drawn', async () => {
  const context = `{ names: ['goal'], low: [0], high: [1], units: ['m'], source: 'oracle' }`;
  const env = await load({ context, more: 'tasks: { draw(random, context) { context[0] = "far"; } },' });
  expect(await messageOf(() => env.reset(1))).toContain(
    'tasks.draw: expected a context value 0 (goal) to be a finite number, got NaN',
  );
});

test('actions beyond the bounds reach the file as the bound', async () => {
  const env = await load({ begin: 'begin() { this.x.fill(0); },' });
  env.reset(1);
  expect(env.step([1e16]).observation[0]).toBe(1);
  expect(env.step([-3]).observation[0]).toBe(0);
  expect(env.step([0.5]).observation[0]).toBe(0.5);
});

test.each([
  ['nothing', 'null', 'tasks: expected a draw function, as the specs have a context, got undefined'],
  [
    'one range too many',
    '{ draw() {}, ranges: { train: [[0, 1], [0, 1]], test: [[0, 1]] } }',
    'tasks: expected ranges.train to have [low, high] for each of goal, got [[0,1],[0,1]]',
  ],
  [
    'a reward that would be dropped',
    '{ draw() {}, denseReward: () => 0 }',
    'tasks: expected no denseReward, which only built-in environments have, got a function. Leave it out: steps are learnt from by the reward that advance or step gives',
  ],
  ['a range that is reversed', '{ draw() {}, ranges: { train: [[0, 1]], test: [[2, 1]] } }', 'ranges.test to have'],
  [
    'half a task',
    '{ draw() {}, counts: { train: 0.5, test: 1 } }',
    'tasks: expected counts.train to be a positive integer, got 0.5',
  ],
])('tasks: %s is refused as the file is loaded', async (_, tasks, message) => {
  const context = `{ names: ['goal'], low: [0], high: [1], units: ['m'], source: 'oracle' }`;
  expect(await messageOf(() => load({ context, more: `tasks: ${tasks},` }))).toContain(message);
});

test('tasks of another number than asked for are refused', async () => {
  const context = `{ names: ['goal'], low: [0], high: [1], units: ['m'], source: 'oracle' }`;
  const env = await load({ context, more: 'tasks: { draw() {}, sample: () => [[0.5]] },' });
  expect(await messageOf(() => env.tasks!.sample({ split: 'train', seed: 1, count: 2 }))).toContain(
    'tasks.sample: expected 2 contexts, got 1',
  );
});

test("episodes that are compared have the tasks of a file's own lists in turn", async () => {
  const context = `{ names: ['goal'], low: [-1], high: [1], units: ['m'], source: 'oracle' }`;
  // Each of two, in an order that the seed decides; one drawn alone would be +1 in nearly all episodes.
  const sample =
    'sample: ({ seed, count }) => Array.from({ length: count }, (_, i) => [(i + seed) % 2 === 0 ? 1 : -1]),';
  const tasks = `tasks: { draw(random, context) { context[0] = 1; }, counts: { train: 3, test: 2 }, ${sample} },`;
  const env = withTasksInTurn(await load({ context, more: tasks }));
  const goals = [0, 1, 2, 3, 4, 5, 6].map((seed) => {
    env.reset(seed);
    return env.context![0];
  });
  // Lists of three: that of seed 0, of seed 1 and of seed 2.
  expect(goals).toEqual([1, -1, 1, -1, 1, -1, 1]);
  env.reset(Number.MAX_SAFE_INTEGER);
  env.reset(0, { context: [-1] });
  expect(env.context![0]).toBe(-1);
});

test("a file's own list of tasks is drawn once for the episodes that have it in turn", async () => {
  const context = `{ names: ['goal'], low: [0], high: [9], units: ['m'], source: 'oracle' }`;
  const sample = 'sample({ count }) { this.calls = (this.calls ?? 0) + 1; return Array(count).fill([this.calls]); },';
  const tasks = `tasks: { draw() {}, counts: { train: 3, test: 2 }, ${sample} },`;
  const { inTurn } = (await load({ context, more: tasks })).tasks!;
  // Whoever has a context may write into it.
  inTurn!(0).fill(9);
  expect([0, 1, 2, 3, 4, 0].map((turn) => inTurn!(turn)[0])).toEqual([1, 1, 1, 2, 2, 3]);
});

test('a file that fails as it loads, or as it makes the environment, says in which line', async () => {
  const path = join(folder, 'mine.mjs');
  writeFileSync(path, '\n\nexport default () => { null.x; };');
  expect(await messageOf(() => loadEnvFile(path))).toMatch(
    /^mine\.mjs: expected a default export that makes an environment, got TypeError: .* at mine\.mjs:3:\d+$/,
  );
});

test.each<[string, Partial<typeof taskParts>]>([
  ['a member', { begin: `get begin() { throw new Error('no'); },` }],
  ['its name', { name: `'', get name() { throw new Error('no'); }` }],
  ['a part of the specs', { observation: `0, get observation() { throw new Error('no'); }` }],
  ['bounds', { action: `{ names: ['force'], low: [-1], get high() { throw new Error('no'); }, units: ['N'] }` }],
])('%s that throws as the file is loaded is told with the line', async (_, parts) => {
  expect(await messageOf(() => load(parts))).toMatch(
    /^mine\.mjs: expected a default export that makes an environment, got Error: no at mine\.mjs:\d+:\d+$/,
  );
});

describe('a whole environment in a file', () => {
  const whole = (parts: Record<string, string> = {}) => {
    const p = {
      reset: `reset() { return { observation: [0, 0], info: {} }; },`,
      step: `step() { return { observation: [0, 0], info: {}, reward: 1, terminated: false, truncated: false, diverged: false }; },`,
      save: `save() { return { env: 'mass', stepCount: 1, ended: false, arrays: {} }; },`,
      restore: `restore() { return [0, 0]; },`,
      context: 'null',
      tasks: 'context: null, tasks: null,',
      ...parts,
    };
    const path = join(folder, `mine${count++}.mjs`);
    writeFileSync(
      path,
      `export default () => ({ name: 'mass', ${p.tasks} specs: { observation: ${taskParts.observation}, action: ${taskParts.action}, context: ${p.context} },
       episodeStepCountMax: 10, stepDurationS: 1, ${[p.reset, p.step, p.save, p.restore].join('\n')} dispose() {} })`,
    );
    return loadEnvFile(path);
  };

  test.each<[string, Record<string, string>, string]>([
    ['a promise', { reset: 'async reset() {},' }, 'mine.mjs reset, episode 1: expected a value at once, got a promise'],
    [
      'a bare observation',
      { reset: 'reset() { return [0, 0]; },' },
      'expected an observation of 2 values (x, v), got undefined',
    ],
    [
      'too short an observation',
      {
        step: `step() { return { observation: [0], info: {}, reward: 1, terminated: false, truncated: false, diverged: false }; },`,
      },
      'mine.mjs step, episode 1 step 1: expected an observation of 2 values (x, v), got 1',
    ],
    [
      'a reward of text',
      {
        step: `step() { return { observation: [0, 0], info: {}, reward: '1', terminated: false, truncated: false, diverged: false }; },`,
      },
      'expected reward to be a finite number, got the text "1"',
    ],
    [
      'no truncated',
      { step: `step() { return { observation: [0, 0], info: {}, reward: 1, terminated: false, diverged: false }; },` },
      'expected truncated to be true or false, got undefined',
    ],
    [
      'an exception',
      { step: `step() { throw new TypeError('no'); },` },
      'mine.mjs step, episode 1 step 1: expected no exception, got TypeError: no at mine.mjs:',
    ],
    [
      'a state without arrays of numbers',
      { save: `save() { return { env: 'mass', stepCount: 1, ended: false, arrays: { x: [1] } }; },` },
      'mine.mjs save, episode 1 step 1: expected env "mass", stepCount, ended, and arrays of Float64Array, got env the text "mass"',
    ],
    [
      'a state that is not finite',
      {
        save: `save() { return { env: 'mass', stepCount: 1, ended: false, arrays: { x: Float64Array.of(1, 0 / 0) } }; },`,
      },
      'mine.mjs save, episode 1 step 1: expected finite values in "x", got NaN at 1',
    ],
    [
      'info of reset that is not finite',
      { reset: 'reset() { return { observation: [0, 0], info: { height: Infinity } }; },' },
      'mine.mjs reset, episode 1: expected info.height to be a finite number, got Infinity',
    ],
    [
      'info of a step that is not finite',
      {
        step: `step() { return { observation: [0, 0], info: { height: NaN }, reward: 1, terminated: false, truncated: false, diverged: false }; },`,
      },
      'mine.mjs step, episode 1 step 1: expected info.height to be a finite number, got NaN',
    ],
    [
      'a state without arrays',
      { save: `save() { return { env: 'mass', stepCount: 1, ended: false }; },` },
      'got env the text "mass", stepCount 1, ended false',
    ],
    [
      'a state before its first step',
      { save: `save() { return { env: 'mass', stepCount: -1, ended: false, arrays: {} }; },` },
      'stepCount -1',
    ],
    [
      'a state with more than that, which a checkpoint would lose',
      { save: `save() { return { env: 'mass', stepCount: 1, ended: false, arrays: {}, phase: 3 }; },` },
      'phase 3',
    ],
    ...['observation', 'info', 'reward', 'terminated', 'truncated', 'diverged', 'info.height'].map(
      (field): [string, Record<string, string>, string] => {
        const whole =
          '{ observation: [0, 0], info: {}, reward: 1, terminated: false, truncated: false, diverged: false }';
        const [name, of] = field.split('.').reverse();
        const thrower = `Object.defineProperty(given${of ? `.${of}` : ''}, '${name}', { enumerable: true, get() { throw new Error('late'); } });`;
        return [
          `${field} that throws when it is read`,
          { step: `step() { const given = ${whole}; ${thrower} return given; },` },
          `mine.mjs step, episode 1 step 1: expected ${field} to be read without an exception, got Error: late at mine.mjs:`,
        ];
      },
    ),
    [
      'a context that is none',
      {
        context: `{ names: ['goal'], low: [0], high: [1], units: ['m'], source: 'oracle' }`,
        tasks: 'context: [NaN], tasks: { draw() {} },',
      },
      'mine.mjs reset, episode 1: expected a context value 0 (goal) to be a finite number, got NaN',
    ],
    [
      'a restore without an observation',
      { restore: 'restore() {},' },
      'mine.mjs restore, step 1 of an episode: expected an observation of 2 values (x, v), got undefined',
    ],
  ])('%s is refused', async (_, parts, message) => {
    const env = await whole(parts);
    const run = () => {
      env.reset(1);
      env.step([0]);
      env.restore(env.save());
    };
    expect(await messageOf(run)).toContain(message);
  });

  test('info is read once: what throws later is not asked again', async () => {
    const step = `step() {
      const info = { get height() { this.isRead ? (() => { throw new Error('late'); })() : (this.isRead = true); return 1; } };
      return { observation: [0, 0], info, reward: 1, terminated: false, truncated: false, diverged: false };
    },`;
    const env = await whole({ step });
    env.reset(1);
    expect(env.step([0]).info).toEqual({ height: 1 });
  });

  test('a context that throws where it is read later is told as such', async () => {
    const env = await whole({
      context: `{ names: ['goal'], low: [0], high: [1], units: ['m'], source: 'oracle' }`,
      tasks: `get context() { if (this.n > 0) throw new Error('late'); return [1]; }, tasks: { draw() {} },`,
      step: `step() { this.n = 1; return { observation: [0, 0], info: {}, reward: 1, terminated: false, truncated: false, diverged: false }; },`,
    });
    env.reset(1);
    expect(env.context).toEqual([1]);
    env.step([0]);
    expect(await messageOf(() => env.context)).toMatch(
      /^mine\.mjs context, episode 1 step 1: expected no exception, got Error: late at mine\.mjs:1:\d+$/,
    );
  });

  /** Counts its steps in `n`. */
  const counting = (parts: Record<string, string> = {}) =>
    whole({
      reset: 'n: 0, reset() { this.n = 0; return { observation: [0, 0], info: {} }; },',
      step: `step() { this.n++; return { observation: [0, 0], info: {}, reward: 1, terminated: false, truncated: false, diverged: false }; },`,
      save: `save() { return { env: 'mass', stepCount: this.n, ended: false, arrays: { past: new Float64Array(this.n) } }; },`,
      restore: 'restore({ stepCount }) { this.n = stepCount; return [0, 0]; },',
      ...parts,
    });

  test('must end its episodes: also one that was restored', async () => {
    const env = await counting();
    const message =
      /step 10( of an episode)?: expected terminated or truncated by step 10 \(episodeStepCountMax\), got neither\. Set/;
    const stepTo = (from: number, to: number) => {
      for (let step = from; step < to; step++) env.step([0]);
    };
    env.reset(1);
    stepTo(0, 6);
    const saved = env.save();
    stepTo(6, 9);
    expect(await messageOf(() => env.step([0]))).toMatch(message);
    env.reset(2);
    stepTo(0, 9);
    env.restore(saved);
    stepTo(6, 9);
    expect(await messageOf(() => env.step([0]))).toMatch(message);
  });

  test('may end its episodes at the last step', async () => {
    const env = await counting({
      step: `step() { this.n++; return { observation: [0, 0], info: {}, reward: 1, terminated: false, truncated: this.n === 10, diverged: false }; },`,
    });
    env.reset(1);
    for (let step = 0; step < 9; step++) expect(env.step([0]).truncated).toBe(false);
    expect(env.step([0]).truncated).toBe(true);
  });

  /** Takes two steps of the pendulum in one, and saves its count of them. @param inner how it makes what it wraps */
  const skipping = (inner = `createEnvironment('Pendulum-v1')`) => {
    const path = join(folder, `mine${count++}.mjs`);
    writeFileSync(
      path,
      `import { createEnvironment } from ${JSON.stringify(registry)};
       export default async () => {
         const inner = await ${inner};
         return {
           name: 'skip', specs: inner.specs, episodeStepCountMax: 100, stepDurationS: 0.1, context: null, tasks: null,
           reset: (seed) => inner.reset(seed),
           step(action) { const first = inner.step(action); return first.truncated ? first : inner.step(action); },
           save: () => ({ ...inner.save(), env: 'skip' }),
           restore: (state) => inner.restore({ ...state, env: inner.name }),
           dispose: () => inner.dispose(),
         };
       };`,
    );
    return path;
  };
  const registry = new URL('../../src/envs/registry.ts', import.meta.url).href;

  /** Plays to the end of the episode. */
  const rewardsToEnd = (env: Env): number[] => {
    const rewards: number[] = [];
    for (;;) {
      const { reward, truncated } = env.step([0.5]);
      rewards.push(reward);
      if (truncated) return rewards;
    }
  };

  test('may count its steps in its own way, and gets its own count back', async () => {
    const env = await loadEnvFile(skipping());
    env.reset(1);
    for (let step = 0; step < 30; step++) env.step([0.5]);
    const saved = structuredClone(env.save());
    expect(saved.stepCount).toBe(60);
    const rest = rewardsToEnd(env);
    expect(rest).toHaveLength(70);
    const other = await loadEnvFile(skipping());
    other.reset(2);
    other.restore(saved);
    expect(other.save()).toEqual(saved);
    expect(rewardsToEnd(other)).toEqual(rest);
    const row = stateRowOf(other);
    const state = new Float64Array(row.size);
    env.restore(saved);
    stateRowOf(env).write(state);
    row.read(state);
    expect(rewardsToEnd(other)).toEqual(rest);
  });

  test('a file that wraps another file: the steps of both are counted', async () => {
    const endless = `{ ...inner.step(action), truncated: false }`;
    const inner = join(folder, `mine${count++}.mjs`);
    writeFileSync(inner, readFileSync(skipping(), 'utf8').replace(/const first = .*;/, `return ${endless};`));
    const env = await loadEnvFile(skipping(`createEnvironment(${JSON.stringify(inner)})`));
    env.reset(1);
    for (let step = 0; step < 20; step++) env.step([0]);
    const saved = env.save();
    env.reset(2);
    env.restore(saved);
    for (let step = 20; step < 49; step++) env.step([0]);
    expect(env.save().arrays['steps since reset']).toEqual(Float64Array.of(49, 98));
    expect(await messageOf(() => env.step([0]))).toContain(
      'mine.mjs step, step 100 of an episode: expected terminated or truncated by step 100',
    );
  });

  test('goes on from a state of before steps were counted beside it', async () => {
    const env = await loadEnvFile(skipping());
    env.reset(1);
    for (let step = 0; step < 60; step++) env.step([0.5]);
    const { arrays, ...saved } = env.save();
    const { 'steps since reset': _, ...own } = arrays;
    const rest = rewardsToEnd(env);
    env.reset(2);
    env.restore({ ...saved, arrays: own });
    expect(rewardsToEnd(env)).toEqual(rest);
  });

  test('must have states of one size where several episodes share it', async () => {
    const env = await counting();
    env.reset(1);
    const row = stateRowOf(env);
    env.step([0]);
    expect(await messageOf(() => row.write(new Float64Array(row.size)))).toBe(
      'mass.save: expected "past" to be as in the first state, 0 values, got 1 values',
    );
  });

  test('gets actions within the bounds', async () => {
    const env = await whole({
      step: `step(a) { return { observation: [a[0], 0], info: {}, reward: 1, terminated: false, truncated: false, diverged: false }; },`,
    });
    env.reset(1);
    expect(env.step([7]).observation[0]).toBe(1);
  });

  test('one that keeps the contract plays', async () => {
    const env = await whole();
    expect([...env.reset(1).observation]).toEqual([0, 0]);
    expect(env.step([0]).reward).toBe(1);
    expect([...env.restore(env.save())]).toEqual([0, 0]);
  });
});
