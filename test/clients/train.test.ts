/** `hyperpolicy train` as a process: it publishes, it survives Ctrl-C, it resumes, and it refuses what makes no sense. */

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readPackage } from '../../src/package/package.ts';
import { td3Defaults } from '../../trainer/algorithms/td3/config.ts';
import { offPolicyDefaults } from '../../trainer/loops/off-policy-config.ts';
import { installBrokenProvider, knowsCuda } from '../deploy/broken-provider.ts';
import { runCommand, startCommand } from './command.ts';

const directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-train-'));
afterAll(() => rm(directory, { recursive: true, force: true }));

const small = '--trunk 16 --dynamic-hidden 16 --batch-size 16 --threads 1 --eval-episodes 1 --warm-up 100'.split(' ');
const train = (...args: string[]) => ['train', 'td3', ...small, ...args];

describe('train td3', () => {
  test('leaves metrics, a plot, a log and a published model', async () => {
    const run = ['--steps', '300', '--eval-every', '200', '--run', 'whole', '--seed', '5'];
    const { code, stdout, stderr } = await runCommand(train(...run), directory);
    expect(stderr).toContain('step 200: evaluation return');
    const [, last] = /^step 300: evaluation return (\S+) \+- 0\.0 over 1 episode$/m.exec(stderr)!;
    // The return of the evaluation after the last step.
    expect(/^.*300\/300 100%.*$/gm.exec(stderr.slice(stderr.indexOf('step 300:')))?.[0]).toContain(
      `evaluation return ${last}`,
    );
    expect(code).toBe(0);
    const result = JSON.parse(stdout) as { directory: string; model: string; step: number };
    expect(result).toMatchObject({ model: 'halfcheetah-v5-td3-sa-hyper-seed5', version: 1, step: 300 });
    const { manifest } = await readPackage(result.directory);
    const { evaluations, seed, steps } = manifest.training;
    expect(evaluations.map(({ step }) => step)).toEqual([0, 200, 300]);
    const [, first, second] = evaluations as [unknown, { meanReturn: number }, { meanReturn: number }];
    expect({ seed, steps }).toEqual({ seed: 5, steps: second.meanReturn >= first.meanReturn ? 300 : 200 });
    const actor = join(directory, 'whole/networks/actor.safetensors');
    const network = ['--architecture', 'td3-policy', '--observation-size', '17', '--action-size', '6'];
    const published = ['--model', 'again', '--store', 'imported'];
    const imported = await runCommand(['import', actor, ...network, ...published], directory);
    expect(imported.stderr).toBe('');
    expect((await readPackage(join(directory, 'imported/again/1'))).manifest.policy?.architecture).toBe('td3-policy');
    expect((await readdir(join(directory, 'whole'))).sort()).toEqual(
      [
        'best',
        'checkpoints',
        'config.json',
        'learning-curve.svg',
        'metrics.csv',
        'metrics.jsonl',
        'networks',
        'published.json',
        'tensorboard',
        'train.log',
      ].sort(),
    );
  });

  test('that publishes nothing has the networks of its best evaluation, for import, and tells its return', async () => {
    const args = ['--steps', '300', '--eval-every', '100', '--critic', 'mlp-small', '--run', 'unpublished'];
    const { code, stdout, stderr } = await runCommand(train(...args, '--publish', 'none'), directory);
    expect(code, stderr).toBe(0);
    const result = JSON.parse(stdout) as Record<string, unknown>;
    const records = (await readFile(join(directory, 'unpublished/metrics.jsonl'), 'utf8')).trim().split('\n');
    const returns = records
      .map((line) => JSON.parse(line) as { step: number; evaluationReturn?: number })
      .filter(({ step, evaluationReturn }) => step > 100 && evaluationReturn !== undefined);
    expect(returns.map(({ step }) => step)).toEqual([200, 300]);
    expect(result.bestEvaluationReturn).toBe(Math.max(...returns.map(({ evaluationReturn }) => evaluationReturn!)));
    for (const absent of ['freshReturn', 'model', 'version']) expect(result).not.toHaveProperty(absent);
    const networks = join(directory, 'unpublished/networks');
    const contents = () =>
      Promise.all(['actor', 'critic'].map((name) => readFile(join(networks, `${name}.safetensors`))));
    const kept = await contents();
    const imported = await runCommand(
      ['import', join(networks, 'actor.safetensors'), '--model', 'kept', '--store', 'imported'],
      directory,
    );
    expect(imported.code, imported.stderr).toBe(0);
    // Those that the best one publishes.
    const resume = ['train', 'td3', '--run', 'unpublished', '--resume', '--publish', 'best', '--store', 'later'];
    const published = await runCommand(resume, directory);
    expect(JSON.parse(published.stdout)).toMatchObject({ version: 1, step: 300 });
    expect(await contents()).toEqual(kept);
  });

  test('says of settings that the critic does not have, or that teach nothing, what they do', async () => {
    const loop = ['--steps', '20', '--warm-up', '20', '--replay-capacity', '10'];
    const args = ['--critic', 'mlp-small', ...loop, '--publish', 'none', '--run', 'unused'];
    const { code, stderr } = await runCommand(train(...args), directory);
    expect(stderr.match(/^warning: .*$/gm)).toEqual([
      'warning: critic "mlp-small" does not use --trunk (critic.trunkSizes): the setting changes nothing',
      'warning: critic "mlp-small" does not use --dynamic-hidden (critic.dynamicHiddenSizes): the setting changes nothing',
      'warning: nothing is learnt in 20 steps: the first update comes at step 21, after a warm-up of 20. Give more --steps or less warm-up',
      'warning: --batch-size 16 is more than --replay-capacity 10 can hold: every update has the same transitions several times',
    ]);
    expect(code).toBe(0);
  });

  test.runIf(knowsCuda)('says once that auto leaves out a device that does not load, and why', async () => {
    const command = installBrokenProvider(await mkdtemp(join(directory, 'installation-')));
    const args = ['--critic', 'mlp-standard', '--steps', '120', '--publish', 'none', '--run', 'left-out'];
    const { code, stderr } = await startCommand(train(...args, '--device', 'auto'), directory, command).finished;
    expect(code, stderr).toBe(0);
    expect(stderr.match(/^(device|warning: --device|updates): .*$|^.*auto leaves.*$/gm)).toEqual([
      expect.stringMatching(
        /^warning: --device auto leaves cuda out: updates run on cpu \(reason a try of cuda: expected the cuda device, got .*install\.sh.*\)$/,
      ),
      'device: cpu',
    ]);
    const log = (await readFile(join(directory, 'left-out', 'train.log'), 'utf8')).trim().split('\n');
    expect(log.map((line) => JSON.parse(line) as object)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          level: 40,
          msg: '--device auto leaves cuda out: updates run on cpu',
          reason: expect.stringContaining('expected the cuda device'),
        }),
        expect.objectContaining({ level: 30, msg: 'updates run on a device', devices: ['cpu'] }),
      ]),
    );
  });

  test('equal seeds give equal runs', async () => {
    const metrics = async (name: string) => {
      await runCommand(train('--steps', '250', '--run', name, '--publish', 'none', '--seed', '9'), directory);
      const lines = (await readFile(join(directory, name, 'metrics.jsonl'), 'utf8')).trim().split('\n');
      return lines.map((line) => ({ ...(JSON.parse(line) as object), seconds: 0 }));
    };
    const first = await metrics('seed-a');
    expect(first.length).toBeGreaterThan(1);
    expect(await metrics('seed-b')).toEqual(first);
  });

  test('Ctrl-C leaves a checkpoint that --resume continues', async () => {
    const running = startCommand(train('--steps', '100000', '--eval-every', '500', '--run', 'stopped'), directory);
    await running.until(/step 500: evaluation/);
    running.process.kill('SIGINT');
    const stopped = await running.finished;
    expect(stopped.code).toBe(0);
    const { step, interrupted } = JSON.parse(stopped.stdout) as { step: number; interrupted?: boolean };
    expect(interrupted).toBe(true);
    expect(stopped.stderr).toContain(`Interrupted at step ${step}. Kept: stopped/checkpoints/${step}. Go on with: `);
    expect(stopped.stderr).toContain('hyperpolicy train td3 --run stopped --resume\n');
    expect(step).toBeGreaterThanOrEqual(500);
    const resume = (steps: number) =>
      runCommand(
        ['train', 'td3', '--run', 'stopped', '--resume', '--steps', `${steps}`, '--publish', 'none'],
        directory,
      );
    const less = await resume(step - 1);
    expect(less.stderr).toBe(
      `hyperpolicy: resume: --steps: expected at least ${step}, the steps that the run has done, got ${step - 1}. Give ${step} to publish what it has, or more to go on\n`,
    );
    expect(less.code).toBe(1);
    const resumed = await resume(step + 50);
    expect(resumed.code).toBe(0);
    const result = JSON.parse(resumed.stdout) as object;
    expect(result).toMatchObject({ step: step + 50 });
    expect(result).not.toHaveProperty('interrupted');
  });

  test('a resumed run publishes under the name that it was begun with', async () => {
    const { code, stdout } = await runCommand(train('--steps', '150', '--run', 'named', '--model', 'mine'), directory);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ model: 'mine', version: 1 });
    const resumed = await runCommand(['train', 'td3', '--run', 'named', '--resume', '--steps', '200'], directory);
    expect(JSON.parse(resumed.stdout)).toMatchObject({ model: 'mine', version: 2, step: 200 });
  });

  // It begins the command several times, which takes long on a busy machine.
  test('a finished run that is resumed says so and publishes nothing twice; once its package is gone, again', {
    timeout: 240_000,
  }, async () => {
    const begun = await runCommand(train('--steps', '150', '--run', 'done', '--model', 'once'), directory);
    const { version, directory: packageDirectory } = JSON.parse(begun.stdout) as { version: number; directory: string };
    expect(begun.stderr).not.toContain('finished');
    const resume = ['train', 'td3', '--run', 'done', '--resume'];
    const resumed = await runCommand(resume, directory);
    expect(resumed.code).toBe(0);
    expect(resumed.stderr).toContain(
      'The run is finished: it has its 150 steps. It is published as version 1 of "once" already. To go on, give more with --steps.\n',
    );
    expect(JSON.parse(resumed.stdout)).toMatchObject({ step: 150, model: 'once', version });
    expect(await readdir(join(packageDirectory, '..'))).toEqual(['1']);
    // Elsewhere it is not yet.
    const other = await runCommand([...resume, '--model', 'twice'], directory);
    expect(JSON.parse(other.stdout)).toMatchObject({ model: 'twice', version: 1 });
    await rm(join(packageDirectory, '..', '..', 'twice'), { recursive: true });
    const again = await runCommand([...resume, '--model', 'twice'], directory);
    expect(JSON.parse(again.stdout)).toMatchObject({ model: 'twice', version: 1 });
    expect(again.stderr).not.toContain('already');
  });

  test('a run that was killed before its first checkpoint can be begun again', async () => {
    const args = train('--steps', '100000', '--run', 'killed', '--publish', 'none');
    const running = startCommand(args, directory);
    await running.until(/step 0: evaluation/);
    running.process.kill('SIGKILL');
    await running.finished;
    const again = await runCommand(train('--steps', '150', '--run', 'killed', '--publish', 'none'), directory);
    expect(again.stderr).not.toContain('hyperpolicy:');
    expect(again.code).toBe(0);
  });

  test('two processes do not train in one directory', async () => {
    const args = train('--steps', '100000', '--run', 'shared', '--publish', 'none');
    const first = startCommand(args, directory);
    await first.until(/step 0: evaluation/);
    const second = await runCommand(args, directory);
    expect(second.stderr).toContain(`expected one that no other process trains in, got process ${first.process.pid}`);
    expect(second.code).toBe(1);
    first.process.kill('SIGTERM');
    expect((await first.finished).code).toBe(0);
  });

  test.each([
    [['--model', '../evil'], 'model name: expected 1 to 64 of a-z 0-9 . _ - and a letter or digit first', 1],
    [['--store', 'whole/config.json'], 'store "whole/config.json": expected a directory that can be written', 1],
    [
      ['--critic', 'sa-hyper rank 16'],
      "option '--critic <architecture>' argument 'sa-hyper rank 16' is invalid. Allowed choices are mlp-standard, mlp-small, ",
      2,
    ],
    [['--env', 'Cheetah'], 'environment: expected one of ', 1],
    [['--env', 'hopper'], '"hopper". Did you mean Hopper-v5?', 1],
    [
      ['--steps', 'many'],
      "option '--steps <count>' argument 'many' is invalid. Expected an integer from 1 to 2147483647",
      2,
    ],
    [['--widths', '3'], "unknown option '--widths'", 2],
    [['--trunk', '0'], 'Expected widths of 1 to 65536 with commas between: 256,512,1024', 2],
  ])('refuses %j in one line', async (args, message, code) => {
    const result = await runCommand(['train', 'td3', '--run', 'refused', ...args], directory);
    expect(result.stderr).toContain(message);
    expect(result.stderr.trim().split('\n')).toHaveLength(1);
    expect(result.code).toBe(code);
  });

  test('takes its settings from a file, flags first, prints them, and trains with what it printed', async () => {
    const settings = `
environment: Pendulum-v1
algorithm: { critic: { architecture: mlp-small }, batchSize: 16 }
loop: { stepCount: 1e6, warmUpStepCount: 50, evaluationEpisodeCount: 1 }
threadCount: 1
publish: { which: none }
`;
    await writeFile(join(directory, 'run.yaml'), settings);
    const print = ['train', 'td3', '--config', 'run.yaml', '--steps', '0.12e3', '--print-config'];
    const printed = await runCommand(print, directory);
    expect(printed.stderr).toBe('');
    const config = JSON.parse(printed.stdout) as object;
    expect(config).toMatchObject({
      environment: 'Pendulum-v1',
      algorithm: {
        ...{ name: 'td3', batchSize: 16, criticLearningRate: 3e-4 },
        critic: { architecture: 'mlp-small', hiddenSizes: [256] },
      },
      loop: { stepCount: 120, warmUpStepCount: 50, seed: 0 },
      publish: { which: 'none', model: 'pendulum-v1-td3-mlp-small-seed0' },
    });
    expect(await readdir(directory)).not.toContain('runs');
    await writeFile(join(directory, 'printed.json'), printed.stdout);
    // A name that was made of the settings is made anew.
    const other = [
      'train',
      'td3',
      '--config',
      'printed.json',
      '--critic',
      'mlp-standard',
      '--seed',
      '1',
      '--print-config',
    ];
    const { publish, algorithm } = JSON.parse((await runCommand(other, directory)).stdout);
    expect(algorithm.critic).toEqual({ architecture: 'mlp-standard', hiddenSizes: [256, 256] });
    expect(publish).toMatchObject({ which: 'none', model: 'pendulum-v1-td3-mlp-standard-seed1' });
    const trained = await runCommand(['train', 'td3', '--config', 'printed.json', '--run', 'from-file'], directory);
    expect(JSON.parse(trained.stdout)).toMatchObject({ runDirectory: 'from-file', step: 120 });
    expect(JSON.parse(await readFile(join(directory, 'from-file/config.json'), 'utf8'))).toEqual(config);
  });

  test('refuses a file with a setting that does not exist, and a file beside --resume', async () => {
    await writeFile(join(directory, 'wrong.json'), '{ "loop": { "stepcount": 5 } }');
    const wrong = await runCommand(['train', 'td3', '--config', 'wrong.json'], directory);
    expect(wrong.stderr).toBe(
      'hyperpolicy: wrong.json: loop.stepcount: expected a setting that exists, got an unknown one. Did you mean loop.stepCount? --print-config shows all\n',
    );
    expect(wrong.code).toBe(1);
    const resumed = await runCommand(['train', 'td3', '--resume', '--config', 'wrong.json'], directory);
    expect(resumed.stderr).toContain('expected --resume without settings of the run, got --config. Leave it out');
    expect(resumed.code).toBe(2);
  });

  test('the help has the defaults', async () => {
    const { stdout } = await runCommand(['train', 'td3', '--help'], directory);
    const help = stdout.replaceAll(/\s+/g, ' ');
    const shown = (flag: string) => new RegExp(`${flag} <[^>]*> [^(]*\\(default: "?([^)"]*)`).exec(help)?.[1];
    const hyper = td3Defaults({ architecture: 'sa-hyper' });
    for (const [flag, value] of [
      ['--steps', offPolicyDefaults.stepCount],
      ['--warm-up', `${offPolicyDefaults.warmUpStepCount}; changes with --preset`],
      ['--seed', offPolicyDefaults.seed],
      ['--eval-every', offPolicyDefaults.evaluationInterval],
      ['--eval-episodes', offPolicyDefaults.evaluationEpisodeCount],
      ['--checkpoint-every', offPolicyDefaults.checkpointInterval],
      ['--replay-capacity', offPolicyDefaults.replayCapacity],
      ['--batch-size', `${hyper.batchSize}; changes with --preset`],
      ['--tau', hyper.tau],
    ] as const) {
      expect([flag, shown(flag)]).toEqual([flag, String(value)]);
    }
  });

  test('refuses to resume a run that is not there, to begin one twice, and to change one that is resumed', async () => {
    const none = await runCommand(['train', 'td3', '--run', 'hole', '--resume'], directory);
    expect(none.stderr).toBe(
      'hyperpolicy: run directory "hole": expected a run, got nothing there. Did you mean --run whole? To begin a new one leave out --resume\n',
    );
    // Before the environment is opened and the networks are made.
    const twice = await runCommand(train('--steps', '10', '--run', 'whole', '--env', './not-there.js'), directory);
    expect(twice.stderr).toMatch(
      /got one with a run in it\. .* To go on with that one: .*hyperpolicy train td3 --run whole --resume\n$/,
    );
    const others = ['--batch-size', '7', '--steps', '20', '--env', 'Hopper-v5'];
    const changed = await runCommand(['train', 'td3', '--run', 'whole', '--resume', ...others], directory);
    expect(changed).toEqual({
      code: 2,
      stdout: '',
      stderr:
        'hyperpolicy: expected --resume without settings of the run, got --env, --batch-size. Leave them out: the run has its own. ' +
        'Of the settings it takes --steps, --env-threads, --eval-every, --eval-episodes, --checkpoint-every, --threads, --engine, --device, --checkpoint-minutes, --keep-at. See --help\n',
    });
  });
});
