/** How a training ends that does not end by itself: what it keeps, what it says, and how it goes on. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { commandLine, ownCommand } from '../../clients/cli/command-line.ts';
import { readPackage } from '../../src/package/package.ts';
import { loadNewestCheckpoint } from '../../trainer/run/checkpoint.ts';
import { readMetrics } from '../../trainer/run/metrics.ts';
import { splitParts } from '../../trainer/run/parts.ts';
import { testWith } from '../requirements.ts';
import { commandRuns } from '../trainer/command-runs.ts';
import { runCommand, startCommand, startProcess } from './command.ts';

const directory = mkdtempSync(join(tmpdir(), 'hyperpolicy-ends-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A mass on a line; `before` runs in each step, `this.count` counts them over all episodes. */
const source = ({
  before = '',
  reward = '-Math.abs(this.x)',
  limit = '50',
  captured = 'this.x',
  observed = 'this.x',
}) => `export default () => ({
  name: 'mass',
  specs: {
    observation: { names: ['x'], low: [null], high: [null], units: ['m'] },
    action: { names: ['force'], low: [-1], high: [1], units: ['N'] },
    context: null,
  },
  episodeStepCountMax: ${limit}, stepDurationS: 0.1, x: 0, count: 0,
  begin(random) { this.x = random.uniform(); },
  advance(action, outcome) {
    this.count++;
    ${before}
    this.x += 0.1 * action[0];
    outcome.reward = ${reward};
    outcome.terminated = false;
    return true;
  },
  observe(out) { out[0] = ${observed}; },
  capture() { return { x: Float64Array.of(${captured}) }; },
  reinstate({ x }) { this.x = x[0]; },
});`;

const small =
  '--critic mlp-standard --batch-size 8 --threads 1 --eval-episodes 1 --warm-up 100 --store st --model mine-td3-mlp-standard'.split(
    ' ',
  );

/** Arguments of a run in a folder of its own, with its environment as `mine.mjs` there. */
function place(name: string, parts: Parameters<typeof source>[0]): string {
  const folder = join(directory, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'mine.mjs'), source(parts));
  return folder;
}
const train = (...args: string[]) => ['train', 'td3', '--env', './mine.mjs', ...small, '--run', 'r', ...args];
const resumeOf = (run: string) => commandLine([...ownCommand(process.env), 'train', 'td3', '--run', run, '--resume']);
const lastLine = (text: string) => text.trim().split('\n').at(-1)!;

test('an environment that throws: its line, a checkpoint, and the run goes on', async () => {
  const folder = place('throws', { before: `if (this.count === 250) throw new Error('sensor lost');` });
  const named = train('--run', 'my run', '--steps', '300', '--eval-every', '100');
  const { code, stdout, stderr } = await runCommand(named, folder);
  expect(code).toBe(1);
  expect(stdout).toBe('');
  const [told, command] = lastLine(stderr).split(' with: ');
  expect(command).toBe(resumeOf('my run'));
  expect(told).toMatch(
    /^hyperpolicy: training ended at step 249: \.\/mine\.mjs advance, episode 5 step 50: expected no exception, got Error: sensor lost at mine\.mjs:12:\d+\. The best policy so far \(step 200\) is version 1 of "mine-td3-mlp-standard"\. Go on from step 249$/,
  );
  const { manifest } = await readPackage(join(folder, 'st/mine-td3-mlp-standard/1'));
  expect(manifest.training.steps).toBe(200);
  // The count begins anew with the process, and with it an episode.
  const resumed = await runCommand(['train', 'td3', '--run', 'my run', '--resume'], folder);
  expect(resumed.stderr).toContain('step 300: evaluation return');
  expect(resumed.code).toBe(0);
  expect(JSON.parse(resumed.stdout)).toMatchObject({ step: 300, version: 2 });
});

test.each([
  ['throws at a checkpoint', `(() => { throw new Error('encoder lost'); })()`, ['--checkpoint-every', '160'], 160],
  ['is not finite at the last one', 'Infinity', [], 200],
])(
  'an environment whose state %s: its line, a checkpoint that begins another episode, and the run goes on',
  async (name, captured, more, step) => {
    const folder = place(`state ${name}`, { captured });
    const { code, stderr } = await runCommand(train('--steps', '200', '--publish', 'none', ...more), folder);
    expect(code).toBe(1);
    expect(lastLine(stderr)).toMatch(
      new RegExp(
        `^hyperpolicy: training ended at step ${step}: \\./mine\\.mjs capture, episode \\d+.*: expected .*, got .*(encoder lost at mine\\.mjs:19|Infinity).*\\. Go on from step ${step} with: `,
      ),
    );
    expect(stderr).not.toContain('training goes on');
    writeFileSync(join(folder, 'mine.mjs'), source({}));
    const steps = ['--steps', '260', '--publish', 'none'];
    const resumed = await runCommand(['train', 'td3', '--run', 'r', '--resume', ...steps], folder);
    expect(resumed.code, resumed.stderr).toBe(0);
    // Episodes have 50 steps; the one that was lost is not in the metrics.
    const ends = readMetrics(join(folder, 'r')).filter((record) => 'episodeReturn' in record);
    expect(ends.map((record) => record.step)).toEqual([50, 100, 150, ...(step === 200 ? [200, 250] : [210, 260])]);
  },
);

test('a reward that no loss can hold: where, and the best policy before it is published', async () => {
  const folder = place('spike', { reward: 'this.count === 250 ? 3e38 : -Math.abs(this.x)' });
  const { code, stderr } = await runCommand(train('--steps', '300', '--eval-every', '200'), folder);
  expect(code).toBe(1);
  expect(lastLine(stderr)).toBe(
    `hyperpolicy: training ended at step 249: mass, step 50 of an episode: expected a reward between -1000000000000000 and 1000000000000000, as the loss is its square in float32, got 3e+38. Bound the rewards of the environment. The best policy so far (step 200) is version 1 of "mine-td3-mlp-standard". Go on from step 249 with: ${resumeOf('r')}`,
  );
});

test('an observation that no loss can hold: which, and the run goes on from before it', async () => {
  const folder = place('far', { observed: 'this.count === 250 ? 1e20 : this.x' });
  const { code, stderr } = await runCommand(train('--steps', '300', '--publish', 'none'), folder);
  expect(code).toBe(1);
  expect(lastLine(stderr)).toBe(
    `hyperpolicy: training ended at step 249: mass, step 50 of an episode: expected observation value 0 ("x") between -1000000000000000 and 1000000000000000, as losses hold its square in float32, got 100000002004087730000. Bound the observations of the environment. Go on from step 249 with: ${resumeOf('r')}`,
  );
  writeFileSync(join(folder, 'mine.mjs'), source({}));
  const resumed = await runCommand(['train', 'td3', '--run', 'r', '--resume'], folder);
  expect(resumed.code, resumed.stderr).toBe(0);
});

/** A file that comes in the way of a model while its run trains on from step 100. */
const modelTaken = `const files = process.getBuiltinModule('node:fs');
  if (files.existsSync('r/checkpoints/100') && !files.existsSync('r/checkpoints/150')) files.writeFileSync('st/mine-td3-mlp-standard', '');`;

test.each([
  {
    ...{ which: 'best', work: 'publishing', toDo: 'Publish it', done: { version: 1 } },
    ...{ before: modelTaken, inTheWay: 'st/mine-td3-mlp-standard', reason: 'EEXIST: file already exists' },
  },
  {
    ...{ which: 'none', work: 'writing the networks', toDo: 'Write them', done: {} },
    ...{ before: '', inTheWay: 'r/networks/actor.safetensors', reason: "EISDIR: .*actor\\.safetensors'" },
  },
])(
  'a run whose last step is done and whose end fails, --publish $which: what is kept, and the command that does it',
  async ({ which, work, toDo, done, before, inTheWay: name, reason }) => {
    const folder = place(`unpublished-${which}`, { before });
    expect((await runCommand(train('--steps', '100', '--publish', 'none'), folder)).code).toBe(0);
    const inTheWay = join(folder, name);
    if (which === 'none') takePlace(inTheWay);
    const longer = ['train', 'td3', '--run', 'r', '--resume', '--steps', '150', '--publish', which];
    const { code, stdout, stderr } = await runCommand(longer, folder);
    expect([code, stdout]).toEqual([1, '']);
    const [told, command] = lastLine(stderr).split(' with: ');
    const kept = `Training is done and kept as r/checkpoints/150\\. ${toDo}`;
    expect(told).toMatch(new RegExp(`^hyperpolicy: ${work} after step 150: .*got ${reason}\\. ${kept}$`));
    expect(command).toBe(resumeOf('r'));
    rmSync(inTheWay, { recursive: true });
    const resumed = await runCommand(['train', 'td3', '--run', 'r', '--resume'], folder);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(JSON.parse(resumed.stdout)).toMatchObject({ step: 150, ...done });
    expect(statSync(join(folder, 'r/networks/actor.safetensors')).isFile()).toBe(true);
  },
);

/** Puts a directory where a file is to be. */
function takePlace(file: string): void {
  rmSync(file, { force: true });
  mkdirSync(file, { recursive: true });
}

test('a run whose networks cannot be written publishes all the same, says so, and writes them later with --publish none', async () => {
  const folder = place('networks', {});
  const actor = join(folder, 'r/networks/actor.safetensors');
  takePlace(actor);
  // Of a run: another directory with such files would be refused.
  writeFileSync(join(folder, 'r/train.log'), '{"msg":"training starts"}\n');
  const { code, stdout, stderr } = await runCommand(train('--steps', '150'), folder);
  expect(code, stderr).toBe(0);
  expect(stderr).toMatch(
    /^warning: networks\/ could not be written; publishing is tried all the same \(step 150, error EISDIR/m,
  );
  expect(JSON.parse(stdout)).toMatchObject({ step: 150, version: 1 });
  rmSync(actor, { recursive: true });
  const later = await runCommand(['train', 'td3', '--run', 'r', '--resume', '--publish', 'none'], folder);
  expect(later.code, later.stderr).toBe(0);
  expect(statSync(actor).isFile()).toBe(true);
});

test('a run that is killed before its first checkpoint begins again with its settings, and equals one that was not', async () => {
  const folder = place('early', {});
  const { finish, left } = commandRuns('td3', () => folder);
  const env = ['--env', './mine.mjs', ...small, '--eval-every', '200', '--seed', '3'];
  await finish('whole', [...env, '--steps', '300']);
  const killed = startCommand(train(...env, '--run', 'killed', '--steps', '100000', '--publish', 'none'), folder);
  await killed.until(/step 200: evaluation/);
  killed.process.kill('SIGKILL');
  await killed.finished;
  expect(readdirSync(join(folder, 'killed'))).not.toContain('checkpoints');
  const resumed = commandRuns('td3', () => folder).train('killed', ['--resume', '--steps', '300']);
  const { code, stderr } = await resumed.finished;
  expect(code, stderr).toBe(0);
  expect(stderr).toContain('killed has no checkpoint yet: its run begins at step 0\n');
  expect(await left('killed')).toEqual(await left('whole'));
});

test('a checkpoint comes after --checkpoint-minutes, also those of a resumed run', async () => {
  const folder = place('minutes', {});
  const steps = (count: string) => ['--checkpoint-every', '1e6', '--publish', 'none', '--steps', count];
  const checkpoints = () => readdirSync(join(folder, 'r/checkpoints')).map(Number);
  await runCommand(train(...steps('600')), folder);
  expect(checkpoints()).toEqual([600]);
  const resume = ['train', 'td3', '--run', 'r', '--resume', '--checkpoint-minutes', '0.001'];
  const { code, stderr } = await runCommand([...resume, ...steps('1200')], folder);
  expect(code, stderr).toBe(0);
  // The newest two.
  expect(Math.min(...checkpoints())).toBeGreaterThan(600);
  expect(checkpoints()).toHaveLength(2);
});

test('figures are named: the evaluation that chose the policy, and fresh episodes of it', async () => {
  const folder = place('fresh', {});
  const { stdout } = await runCommand(train('--steps', '200', '--eval-every', '100', '--eval-episodes', '3'), folder);
  const printed = JSON.parse(stdout) as Record<string, number>;
  const { training } = (await readPackage(join(folder, 'st/mine-td3-mlp-standard/1'))).manifest;
  expect(printed.bestEvaluationReturn).toBe(training.bestEvaluationReturn);
  expect(training.evaluations.map(({ meanReturn }) => meanReturn)).toContain(training.bestEvaluationReturn);
  expect(printed.freshReturn).toBe(training.freshReturn);
  expect(training.freshEpisodeCount).toBe(3);
  // Where somebody's folders are is nobody else's matter.
  expect(training.config).not.toHaveProperty('workingDirectory');
  // Other starts: other returns, if only in the last digits.
  expect(training.evaluations.map(({ meanReturn }) => meanReturn)).not.toContain(training.freshReturn);
});

describe('SIGTERM', () => {
  test.each<[string, Parameters<typeof source>[0]]>([
    ['in an evaluation whose episode never ends', { limit: 'Number.MAX_SAFE_INTEGER' }],
    [
      'in one whose steps are slow',
      { limit: '100000', before: 'const until = performance.now() + 20; while (performance.now() < until);' },
    ],
  ])('%s leaves a checkpoint', async (name, parts) => {
    const folder = place(name.replaceAll(' ', '-'), {
      ...parts,
      before: `${parts.before ?? ''} if (this.count === 20) process.stderr.write('steps');`,
    });
    const running = startCommand(train('--steps', '1000', '--publish', 'none'), folder);
    await running.until(/steps/);
    running.process.kill('SIGTERM');
    const { code, stdout, stderr } = await running.finished;
    expect(code).toBe(0);
    expect(stderr).toContain(
      'SIGTERM: ends after the step or iteration in progress, with a checkpoint. A second one ends at once',
    );
    expect(JSON.parse(stdout)).toMatchObject({ step: 0, checkpoint: 'r/checkpoints/0' });
  });

  test('among many updates of a step ends between two of them, and the rest are taken by the run that goes on', async () => {
    const folder = place('many-updates', {});
    // The first step has 10,000 updates: more than ten seconds.
    const settings = ['--steps', '1', '--warm-up', '0', '--updates-per-step', '10000', '--publish', 'none'];
    const running = startCommand(train(...settings), folder);
    const hasLearnt = () => readMetrics(join(folder, 'r')).some((record) => 'criticLoss' in record);
    await running.until(/step 0: evaluation return/);
    while (!hasLearnt()) await setTimeout(20);
    running.process.kill('SIGTERM');
    const { code, stdout } = await running.finished;
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ step: 1, interrupted: true, checkpoint: 'r/checkpoints/1' });
    const kept = await loadNewestCheckpoint(join(folder, 'r', 'checkpoints'));
    const { updateCount } = splitParts(kept!, []).state as { updateCount: number };
    expect(updateCount).toBeGreaterThanOrEqual(100);
    expect(updateCount).toBeLessThan(10_000);
  });
});

/** A program that says `ready` and works until it is interrupted. @returns its path */
function writeEndless(folder: string, stream: 'stdout' | 'stderr'): string {
  const built = pathToFileURL(join(import.meta.dirname, '../../dist/clients/cli/interrupts.js')).href;
  const script = join(folder, 'interrupted.mjs');
  writeFileSync(
    script,
    `import { untilInterrupted } from ${JSON.stringify(built)};
    setInterval(() => {}, 1000);
    const tell = (line) => process.${stream}.write(line + '\\n');
    const run = () => new Promise(() => tell('ready'));
    await untilInterrupted(run, { tell, kept: () => 'Step 5 is kept' });`,
  );
  return script;
}

test('a second interrupt ends at once and says what is kept', async () => {
  const script = writeEndless(directory, 'stdout');
  const running = startCommand([], directory, script);
  await running.until(/ready/);
  running.process.kill('SIGINT');
  await running.until(/SIGINT: ends after/);
  // Another one than the first counts as well.
  running.process.kill('SIGTERM');
  const { code: exitCode, stdout } = await running.finished;
  expect(stdout).toContain('SIGTERM again: ended at once. Step 5 is kept');
  expect([exitCode, running.process.signalCode]).toEqual([null, 'SIGTERM']);
});

test('an interrupt that npm hands on is the one that the terminal gave; half a second later it is a second one', async () => {
  const built = pathToFileURL(join(import.meta.dirname, '../../dist/clients/cli/interrupts.js')).href;
  const script = join(directory, 'handed-on.mjs');
  const code = `import { untilInterrupted } from ${JSON.stringify(built)};
    setInterval(() => {}, 1000);
    const tell = (line) => process.stdout.write(line + '\\n');
    let time = 0;
    const run = async () => {
      const interrupt = () => new Promise((resolve) => {
        process.once('SIGINT', () => setImmediate(resolve));
        process.kill(process.pid, 'SIGINT');
      });
      await interrupt();
      time = 499;
      await interrupt();
      tell('still here');
      time = 500;
      process.kill(process.pid, 'SIGINT');
      return new Promise(() => {});
    };
    await untilInterrupted(run, { tell, kept: () => 'Step 5 is kept', now: () => time });`;
  writeFileSync(script, code);
  const running = startCommand([], directory, script);
  const { stdout } = await running.finished;
  const [first, ...others] = stdout.trim().split('\n');
  expect(first).toContain('SIGINT: ends after the step or iteration in progress');
  expect(others).toEqual(['still here', 'SIGINT again: ended at once. Step 5 is kept']);
  expect(running.process.signalCode).toBe('SIGINT');
});

test.each([
  ['the end of the sweep that began a training interrupts it', ''],
  [
    'also where it ended while the training was loading',
    `process.stdout.write('ready\\n');
    while (process.connected) await new Promise((resolve) => setTimeout(resolve, 10));`,
  ],
])('%s', async (_, before) => {
  const built = pathToFileURL(join(import.meta.dirname, '../../dist/clients/cli/interrupts.js')).href;
  const script = join(directory, 'begun.mjs');
  writeFileSync(
    script,
    `import { untilInterrupted } from ${JSON.stringify(built)};
    ${before}
    const tell = (line) => process.stdout.write(line + '\\n');
    const run = (signal) => new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const timer = setInterval(() => {}, 1000);
      signal.addEventListener('abort', () => resolve(clearInterval(timer)));
      tell('ready');
    });
    await untilInterrupted(run, { tell, kept: () => '' });
    tell('over');`,
  );
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  let stdout = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    // What the kernel does when the parent is killed.
    if (stdout.includes('ready') && child.connected) child.disconnect();
  });
  const [ended] = await Promise.all([once(child, 'exit'), once(child.stdout!, 'end')]);
  expect(ended).toEqual([0, null]);
  expect(stdout).toContain(
    'The process that began this one is gone: ends after the step or iteration in progress, with a checkpoint',
  );
  expect(stdout).toContain('over');
});

test('a sweep that is interrupted has not done its work: a cluster must run the cell again', async () => {
  const folder = place('sweep', {});
  const grid = { algorithm: ['td3'], env: ['Pendulum-v1'], critic: ['mlp-small'] };
  const settings = { steps: 100_000, 'actor-hidden': '8', 'batch-size': 8, threads: 1, 'checkpoint-every': 20 };
  writeFileSync(join(folder, 'sweep.json'), JSON.stringify({ name: 'long', runs: 'cells', grid, settings }));
  const running = startCommand(['sweep', 'sweep.json', '--cell', '0'], folder);
  onTestFinished(() => void running.process.kill('SIGKILL'));
  const checkpoints = join(folder, 'cells', 'td3-pendulum-v1-mlp-small-seed0', 'checkpoints');
  while (!existsSync(checkpoints) || !readdirSync(checkpoints).some((name) => /^\d+$/.test(name))) await setTimeout(20);
  running.process.kill('SIGTERM');
  const { code, stderr } = await running.finished;
  expect(stderr).toContain('expected every training to come to its end, got 1 that were interrupted');
  expect(code).toBe(1);
});

test('a sweep whose standard error is closed goes on', async () => {
  const folder = place('deaf', {});
  const grid = { algorithm: ['td3'], env: ['./mine.mjs'], critic: ['mlp-small'], seed: [0, 1] };
  const settings = { steps: 10, 'actor-hidden': '8', threads: 1, 'eval-episodes': 1 };
  writeFileSync(
    join(folder, 'sweep.json'),
    JSON.stringify({ ...{ name: 'deaf', runs: 'cells', grid, settings }, store: 'store', publish: 'last' }),
  );
  const running = startCommand(['sweep', 'sweep.json', '--processes', '1'], folder);
  running.process.stderr!.destroy();
  const { code, stdout } = await running.finished;
  expect(stdout).toMatch(/^td3 .* 2 /m);
  expect(code).toBe(0);
  const published = (cell: string) => JSON.parse(readFileSync(join(folder, 'cells', cell, 'published.json'), 'utf8'));
  expect(published('td3-mine.mjs-mlp-small-seed1')).toMatchObject({
    ...{ model: 'deaf-td3-mine.mjs-mlp-small-seed1', which: 'last', step: 10 },
  });
});

/** A process that is process 1 of its own container: signals that it sends to itself do nothing. */
const alone = ['--pid', '--fork', '--mount-proc', '--kill-child'];
const containerTest = testWith(
  spawnSync('unshare', [...alone, 'true']).status === 0,
  'unshare with the right to make a process namespace',
  'apt-get install util-linux; docker run --privileged',
);

function startAlone(args: readonly string[], folder: string) {
  const running = startProcess('unshare', [...alone, process.execPath, ...args], { cwd: folder });
  onTestFinished(() => void running.process.kill('SIGKILL'));
  const { pid } = running.process;
  const first = () => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'));
  return { ...running, signal: (name: NodeJS.Signals) => process.kill(first(), name) };
}

const main = join(import.meta.dirname, '../../dist/clients/cli/main.js');

containerTest(
  'process 1 of a container ends although user code waits in native code',
  async () => {
    const wait = `console.error('waits'); process.getBuiltinModule('node:child_process').execSync('sleep 600');`;
    const folder = place('native', { before: `if (this.count === 20) { ${wait} }` });
    const running = startAlone([main, ...train('--steps', '100000', '--publish', 'none')], folder);
    await running.until(/waits/);
    running.signal('SIGINT');
    const { stderr } = await running.finished;
    expect(lastLine(stderr)).toMatch(
      /^hyperpolicy: training ended at step \d+: \.\/mine\.mjs advance, .*: expected an end within 3 s/,
    );
  },
  60_000,
);

containerTest('a second interrupt ends process 1 of a container', async () => {
  const folder = place('twice', {});
  const running = startAlone([writeEndless(folder, 'stderr')], folder);
  await running.until(/ready/);
  running.signal('SIGINT');
  await running.until(/SIGINT: ends after/);
  running.signal('SIGTERM');
  const { stderr } = await running.finished;
  expect(lastLine(stderr)).toBe('SIGTERM again: ended at once. Step 5 is kept');
});

const diskTest = testWith(spawnSync('prlimit', ['--version']).status === 0, 'prlimit', 'apt-get install util-linux');

diskTest('a full disk at a metric line does not end the run, and the line is written later', async () => {
  const folder = place('full', { before: `if (this.count === 400) process.stderr.write('later');` });
  const steps = ['--steps', '100000', '--eval-every', '1000000', '--publish', 'none'];
  const running = startCommand(train(...steps), folder);
  await running.until(/step 0: evaluation/);
  const limit = (bytes: string) =>
    spawnSync('prlimit', ['--pid', `${running.process.pid}`, `--fsize=${bytes}:unlimited`]);
  limit('0');
  await running.until(/metrics could not be written \(EFBIG.*training goes on/);
  limit('unlimited');
  const before = readMetrics(join(folder, 'r')).length;
  while (readMetrics(join(folder, 'r')).length < before + 5) await setTimeout(50);
  running.process.kill('SIGINT');
  expect((await running.finished).code).toBe(0);
  const records = readMetrics(join(folder, 'r'));
  const episodes = records.filter((record) => 'episodeReturn' in record).map(({ step }) => step);
  // Every episode of 50 steps, without a gap.
  expect(episodes).toEqual(episodes.map((_, i) => 50 * (i + 1)));
});

test('a simulator that diverges in every step: the run says so, and leaves a checkpoint', async () => {
  const folder = place('unstable', { before: 'return false;' });
  const { code, stderr } = await runCommand(train('--steps', '150', '--publish', 'none'), folder);
  expect(code).toBe(1);
  expect(lastLine(stderr)).toMatch(
    /training ended at step 10\d: mass: expected a transition to learn from, got none: the simulator diverged in every step\. .*Go on from step 10\d with: /,
  );
});

test('what an environment file prints goes to standard error: standard output has the line of JSON alone', async () => {
  const folder = place('prints', { before: `console.log('of the file'); process.stdout.write('raw\\n');` });
  const { code, stdout, stderr } = await runCommand(train('--steps', '120', '--publish', 'none'), folder);
  expect(code, stderr).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ step: 120 });
  expect(stderr).toContain('of the file\n');
  expect(stderr).toContain('raw\n');
  const played = await runCommand(['rollout', '--env', './mine.mjs', '--steps', '3'], folder);
  expect(played.stderr).toContain('of the file\n');
});

describe('from another folder', () => {
  test('a run finds its environment and its store, and takes settings that are safe to change', async () => {
    const folder = place('begun', {});
    const begun = await runCommand(train('--steps', '150', '--publish', 'none'), folder);
    expect(begun.code).toBe(0);
    const elsewhere = join(directory, 'elsewhere');
    mkdirSync(elsewhere);
    const resume = ['train', 'td3', '--run', '../begun/r', '--resume', '--steps', '200', '--publish', 'best'];
    const safe = '--eval-every 60 --eval-episodes 2 --checkpoint-every 1000 --threads 2 --engine traced --device cpu';
    const resumed = await runCommand([...resume, ...safe.split(' ')], elsewhere);
    expect(resumed.stderr).toContain('step 180: evaluation return');
    expect(resumed.code).toBe(0);
    expect(existsSync(join(folder, 'st/mine-td3-mlp-standard/1/manifest.json'))).toBe(true);
    expect(readdirSync(elsewhere)).toEqual([]);
    const other = await runCommand([...resume, '--warm-up', '5'], elsewhere);
    expect(other.stderr).toContain('expected --resume without settings of the run, got --warm-up');
    renameSync(join(folder, 'mine.mjs'), join(folder, 'moved.mjs'));
    const missing = await runCommand(resume, elsewhere);
    expect(missing.code).toBe(1);
    expect(missing.stderr).toBe(
      `hyperpolicy: environment "./mine.mjs": expected a file at ${join(folder, 'mine.mjs')} or ${join(elsewhere, 'mine.mjs')}, got none. Put it there, or go on in the folder that has it\n`,
    );
    expect(readdirSync(elsewhere)).toEqual([]);
  });

  test('a run whose environment file was given by a whole path finds it here once it was moved; a new run does not', async () => {
    const folder = place('moves', {});
    const path = join(folder, 'mine.mjs');
    const named = train('--steps', '150', '--publish', 'none').map((text) => (text === './mine.mjs' ? path : text));
    expect((await runCommand(named, folder)).code).toBe(0);
    const here = join(directory, 'here');
    mkdirSync(here);
    renameSync(path, join(directory, 'kept.mjs'));
    const resume = ['train', 'td3', '--run', join(folder, 'r'), '--resume', '--steps', '200'];
    expect((await runCommand(resume, here)).stderr).toBe(
      `hyperpolicy: environment "${path}": expected a file at ${path} or ${join(here, 'mine.mjs')}, got none. Put it there, or go on in the folder that has it\n`,
    );
    renameSync(join(directory, 'kept.mjs'), join(here, 'mine.mjs'));
    const resumed = await runCommand(resume, here);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(JSON.parse(resumed.stdout)).toMatchObject({ step: 200 });
    // Another file of that name may lie here.
    expect((await runCommand(named, here)).stderr).toBe(
      `hyperpolicy: environment: expected a file at ${path}, got none\n`,
    );
  });
});
