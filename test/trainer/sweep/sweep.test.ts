/** Sweeps: the cells of a file, running them, the table, and jobs for clusters. Cells here are a stand-in that trains nothing. */

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { addTrainOptions } from '../../../clients/cli/train-flags.ts';
import { environmentNames } from '../../../src/envs/registry.ts';
import { loadAlgorithm } from '../../../trainer/algorithms/registry.ts';
import { publishChoices } from '../../../trainer/run/config.ts';
import { flaglessSettings, settingFlags } from '../../../trainer/run/given-settings.ts';
import { shownFlags } from '../../../trainer/run/shown-defaults.ts';
import type { Cell } from '../../../trainer/sweep/cell.ts';
import { checkCells } from '../../../trainer/sweep/check-cells.ts';
import { jobCoreCount, kubernetesJob, slurmArray } from '../../../trainer/sweep/jobs.ts';
import { ownFlags } from '../../../trainer/sweep/own-flags.ts';
import { type CellEnd, runCells } from '../../../trainer/sweep/run-cells.ts';
import { summarise, summaryTable } from '../../../trainer/sweep/summary.ts';
import { readSweep } from '../../../trainer/sweep/sweep-file.ts';
import { forgetCheckpoints } from '../killed-run.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sweep-test-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(content: object): string {
  const path = join(folder, 'sweep.json');
  writeFileSync(path, JSON.stringify(content));
  return path;
}

const sweepOf = (content: object, threadCount = 1) => readSweep(write(content), threadCount);

const textAfter = (flag: string, all: readonly string[]) =>
  all.includes(flag) ? all[all.indexOf(flag) + 1] : undefined;

const ownNames = Object.keys(ownFlags);

const small = (seeds: number[] = [0, 1]) => ({
  name: 'small',
  runs: join(folder, 'runs'),
  grid: { algorithm: ['td3', 'sac'], critic: ['mlp-small', 'sa-hyper'], env: ['Pendulum-v1'], seed: seeds },
  settings: { steps: '1e3' },
});

describe('a sweep file', () => {
  test('is a cell for every combination, each with a directory of its own', async () => {
    const { cells } = await sweepOf(small());
    expect(cells.map(({ index, trainer, seed }) => [index, trainer.algorithm.name, seed])).toEqual(
      ['td3', 'td3', 'td3', 'td3', 'sac', 'sac', 'sac', 'sac'].map((name, i) => [i, name, i % 2]),
    );
    expect(cells[3]).toMatchObject({
      group: { algorithm: 'td3', critic: 'sa-hyper', env: 'Pendulum-v1' },
      runDirectory: join(folder, 'runs', 'td3-sa-hyper-pendulum-v1-seed1'),
    });
    expect(cells[3]!.trainArguments.join(' ')).toBe(
      `train td3 --steps 1e3 --critic sa-hyper --env Pendulum-v1 --seed 1 --threads 1 --run ${cells[3]!.runDirectory} --publish none`,
    );
    expect(new Set(cells.map(({ runDirectory }) => runDirectory)).size).toBe(8);
  });

  test('values may be true and false, and negative', async () => {
    const yes = { algorithm: ['pearl'], env: ['Point-Robot'], 'encode-next-observation': [true, false] };
    const negative = { algorithm: ['sac'], 'target-entropy': [-3, 3] };
    const named = async (grid: object) =>
      (await sweepOf({ ...small(), settings: {}, grid })).cells.map(
        ({ runDirectory, settings }) => `${basename(runDirectory)}: ${settings.slice(1).join(' ')}`,
      );
    expect(await named(yes)).toEqual([
      'pearl-point-robot-true-seed0: --env Point-Robot --encode-next-observation true',
      'pearl-point-robot-false-seed0: --env Point-Robot --encode-next-observation false',
    ]);
    expect(await named(negative)).toEqual(['sac-minus3-seed0: --target-entropy -3', 'sac-3-seed0: --target-entropy 3']);
  });

  test('a setting that only some algorithms have is of their cells alone', async () => {
    const settings = { temperature: 'fixed', 'policy-delay': 3 };
    const { cells } = await sweepOf({ ...small([0]), grid: { algorithm: ['td3', 'sac'] }, settings });
    expect(cells.map((cell) => cell.settings.join(' '))).toEqual(['td3 --policy-delay 3', 'sac --temperature fixed']);
  });

  test('a setting without a flag has its dotted name, and reaches the cells as train takes it', async () => {
    const read = async (sweep: object) => (await sweepOf({ ...small(), ...sweep })).cells;
    const settings = { 'algorithm.critic.trunkLayerNorm': true };
    const cells = await read({ grid: { algorithm: ['td3'], 'algorithm.critic.headRank': [2, 4] }, settings });
    expect(cells.map(({ config, settings: own }) => [own.join(' '), config.algorithm])).toEqual(
      [2, 4].map((headRank) => [
        `td3 --set algorithm.critic.trunkLayerNorm=true --set algorithm.critic.headRank=${headRank}`,
        expect.objectContaining({
          critic: expect.objectContaining({ architecture: 'sa-hyper', headRank, trunkLayerNorm: true }),
        }),
      ]),
    );
    const both = await read({
      grid: { algorithm: ['td3', 'pearl'] },
      settings: { ...settings, 'algorithm.meanWeight': 0.1 },
    });
    expect(both.map((cell) => cell.settings.join(' '))).toEqual([
      'td3 --set algorithm.critic.trunkLayerNorm=true',
      'pearl --set algorithm.meanWeight=0.1',
    ]);
  });

  test('long values make names that the store takes, and that differ', async () => {
    const grid = {
      algorithm: ['td3', 'sac'],
      critic: ['sa-hyper'],
      policy: ['context-mlp', 'hyper'],
      env: ['HalfCheetah-Vel-Medium'],
      trunk: ['256,512,1024'],
      gamma: [0.99],
      seed: [0, 11],
    };
    for (const store of [undefined, join(folder, 'store')]) {
      const { cells } = await sweepOf({ ...small(), grid, store });
      const names = cells.map(({ runDirectory }) => basename(runDirectory));
      expect(new Set(names).size).toBe(8);
      const models = cells.map(({ trainArguments }) => textAfter('--model', trainArguments));
      const published = store === undefined ? [] : models;
      expect(new Set(published).size).toBe(store === undefined ? 0 : 8);
      for (const name of [...names, ...published]) expect(name).toMatch(/^[a-z0-9][a-z0-9._-]{0,63}$/);
    }
  });

  test('each cell has the threads that the file gives, else those of its reader; a run that goes on keeps its own', async () => {
    const threadsOf = async (sweep: object) =>
      (await sweepOf({ ...small([0]), ...sweep }, 3)).cells.map(
        ({ config, settings, trainArguments, resumeArguments }) => [
          config.threadCount,
          ...[settings, trainArguments, resumeArguments].map((all) => textAfter('--threads', all)),
        ],
      );
    const grid = { algorithm: ['td3'] };
    // A sweep that was begun elsewhere goes on: these are no settings of its cells.
    expect(await threadsOf({ grid })).toEqual([[3, undefined, '3', undefined]]);
    expect(await threadsOf({ grid, settings: { threads: 2 } })).toEqual([[2, '2', '2', undefined]]);
    const each = [1, 4].map((count) => [count, `${count}`, `${count}`, undefined]);
    expect(await threadsOf({ grid: { ...grid, threads: [1, 4] } })).toEqual(each);
  });

  test('says which policies are published', async () => {
    const store = join(folder, 'store');
    for (const [publish, which] of [
      [undefined, 'best'],
      ['every', 'every'],
      ['last', 'last'],
    ]) {
      const [cell] = (await sweepOf({ ...small(), store, publish })).cells;
      expect(cell!.config.publish).toMatchObject({ store, which });
      for (const all of [cell!.trainArguments, cell!.resumeArguments]) expect(textAfter('--publish', all)).toBe(which);
    }
  });

  test('sweeps of one grid that share a store publish models of their own; a begun run goes on to its model', async () => {
    const sweep = (name: string, steps: number) => {
      const grid = { algorithm: ['td3'], critic: ['mlp-small'], seed: [0] };
      return { ...small(), name, runs: join(folder, name), store: join(folder, 'store'), grid, settings: { steps } };
    };
    const cellOf = async (name: string, steps: number) => (await sweepOf(sweep(name, steps))).cells[0]!;
    const modelsOf = ({ trainArguments, resumeArguments }: Cell) =>
      [trainArguments, resumeArguments].map((all) => textAfter('--model', all));
    const first = await cellOf('short', 100);
    const made = 'short-td3-mlp-small-seed0';
    expect([first.runDirectory, ...modelsOf(first)]).toEqual([
      join(folder, 'short', 'td3-mlp-small-seed0'),
      made,
      made,
    ]);
    const other = 'long-td3-mlp-small-seed0';
    expect(modelsOf(await cellOf('long', 200))).toEqual([other, other]);

    const begun = (publish: object) => {
      mkdirSync(first.runDirectory, { recursive: true });
      writeFileSync(join(first.runDirectory, 'config.json'), JSON.stringify({ ...first.config, publish }));
    };
    const former = { store: join(folder, 'store'), model: 'td3-mlp-small-seed0' };
    begun({ ...former, which: 'best' });
    expect(modelsOf(await cellOf('short', 100))).toEqual([former.model, former.model]);
    begun({ ...former, which: 'none' });
    expect(modelsOf(await cellOf('short', 100))).toEqual([made, made]);
  });

  test.each(ownNames)('%s, a flag of train that is not for grid and settings, is refused as such', async (name) => {
    await expect(sweepOf({ ...small(), settings: { [name]: 'x' } })).rejects.toThrow(
      `expected flags of "train td3" but those that a sweep gives itself or has none of: ${ownNames.join(', ')}, got "${name}". ${ownFlags[name]}`,
    );
  });

  test('knows every flag of train', async () => {
    const td3 = await loadAlgorithm('td3');
    const choices = { flags: shownFlags(td3), flagless: flaglessSettings(td3), publishChoices };
    const flags = addTrainOptions(new Command('td3'), choices).options.map(({ long }) => long!.slice(2));
    const settings = settingFlags(td3).map(({ flag }) => flag.split(/[ ,]/)[0]!.slice(2));
    expect([...settings, ...ownNames].sort()).toEqual(flags.sort());
  });

  test.each([
    [{ grid: { critic: ['mlp-small'] } }, 'grid: expected algorithm: [maml, '],
    [
      { grid: { algorithm: ['td3'], critics: ['mlp-small'] } },
      'expected flags of "train td3", and dotted names of settings that have none, got "critics". Did you mean critic?',
    ],
    [{ grid: { algorithm: ['td3'] }, settings: { stpes: 300 } }, 'got "stpes". Did you mean steps?'],
    [{ grid: { algorithm: ['td3'], 'algorithm.critic.headrank': [2] } }, 'Did you mean algorithm.critic.headRank?'],
    [{ grid: { algorithm: ['td3'], 'algorithm.critic.trunkSizes': ['2'] } }, 'Did you mean trunk?'],
    [
      { grid: { algorithm: ['td3'], 'algorithm.critic.headRank': [2, 0] } },
      'got 1 of 2 that cannot. Cells 1 (algorithm: td3, algorithm.critic.headRank: 0): algorithm.critic.headRank: expected an integer from 1',
    ],
    [
      { grid: { algorithm: ['td3', 'pearl'], policy: ['hyper', 'maml'], seed: [0, 1] } },
      'expected flags of "train pearl", and dotted names of settings that have none, got "policy"',
    ],
    [
      { grid: { algorithm: ['td3', 'maml'], policy: ['hyper', 'maml'], seed: [0, 1] } },
      'expected cells that can be trained, got 4 of 8 that cannot. ' +
        'Cells 2 to 3 (algorithm: td3, policy: maml): policy: expected mlp, context-mlp, hyper, got "maml"; ' +
        'cells 4 to 5 (algorithm: maml, policy: hyper): policy: expected maml, context-maml, hyper-maml, multi-task-hyper, got "hyper". ' +
        'Combinations that do not go together need sweeps of their own',
    ],
    [
      { grid: undefined, gird: {} },
      'sweep.json: expected name, runs, store, publish, grid, settings, got "gird". Did you mean grid?',
    ],
    [{ grid: undefined }, 'grid: expected a list of values for each flag, such as seed: [0, 1], got none'],
    [{ grid: { algorithm: ['td3'], seed: 3 } }, 'grid.seed: expected a list such as [0, 1], got 3'],
    [
      { grid: { algorithm: ['td3'], seed: [null] } },
      'grid.seed.0: expected a text, a finite number, true or false, got null',
    ],
    [{ settings: { steps: [1] } }, 'settings.steps: expected a text, a finite number, true or false, got [1]'],
    [
      { grid: { algorithm: ['td3'], steps: [1000, 2000] }, settings: { algorithm: 'sac', steps: 77, batch: 1 } },
      'settings: expected names that grid does not have, got algorithm, steps, which it has. Give each in one of the two',
    ],
    [{ grid: { algorithm: ['td3'], steps: ['many'] } }, 'steps: expected an integer from 1'],
    [
      { grid: { algorithm: ['td3'], seed: [0, 1, 1] } },
      'grid: expected values that differ, got cells 1 to 2 with equal ones',
    ],
    [
      { grid: { algorithm: ['td3'], 'batch-size': [100, '1e2', 8] } },
      'grid: expected values that differ, got cells 0 to 1 with equal ones',
    ],
    [
      { runs: undefined, grid: { algorithm: ['td3'], env: ['./a/b.mjs', './a-b.mjs'] } },
      'grid: expected a directory for each run, got runs/small/td3-a-b.mjs-seed0 for cells 0 to 1. ' +
        'Give values that differ in letters or digits, and the names of grid in the order that its runs were begun with',
    ],
    [
      { publish: 'every' },
      'publish: expected store: FOLDER beside it, got every alone. Without a store nothing is published',
    ],
    [{ store: 's', publish: 'none' }, 'publish: expected best, last, every, got "none"'],
    [{ grid: { algorithm: ['td4'] } }, 'algorithm: expected one of maml, '],
    [{ grid: { algorithm: [] } }, 'grid.algorithm: expected a list such as [td3, sac], got []'],
    [{ name: 'Not A Name' }, 'name: expected at most 42 small letters, digits and dashes, got "Not A Name"'],
  ])('is refused whole before anything runs: %j', async (wrong, message) => {
    await expect(sweepOf({ ...small(), settings: {}, ...wrong })).rejects.toThrow(message);
  });
});

test('a number of a sweep file that is not finite is shown as such', async () => {
  const path = join(folder, 'sweep.yaml');
  const refusal = (text: string) => {
    writeFileSync(path, `name: small\ngrid: { algorithm: [td3], seed: [0, ${text}] }`);
    return readSweep(path, 1);
  };
  const expected = 'grid.seed.1: expected a text, a finite number, true or false, got';
  await expect(refusal('1e400')).rejects.toThrow(`${expected} Infinity`);
  await expect(refusal('-.inf')).rejects.toThrow(`${expected} -Infinity`);
  await expect(refusal('.nan')).rejects.toThrow(`${expected} NaN`);
});

describe('cells that train would refuse', () => {
  const refusal = async (sweep: object, runsElsewhere = false) => {
    const path = write({ ...small(), ...sweep });
    const { cells } = await readSweep(path, 1);
    const told: string[] = [];
    const options = { path, cellCount: cells.length, runsElsewhere, tell: (line: string) => told.push(line) };
    const text = await checkCells(cells, options).then(
      () => 'none',
      (error: Error) => error.message,
    );
    return { text: text.replace(`${path}: expected cells that can be trained, got `, ''), told };
  };
  const other = 'Combinations that do not go together need sweeps of their own';

  test('are all named with the reason, whichever part of train it is that refuses them', async () => {
    const { text } = await refusal({
      grid: { algorithm: ['td3', 'maml'], env: ['Pendulum-v1', 'Point-Robot', 'Pendulum-v2'], seed: [0, 1] },
      settings: { 'policy-delay': 3, 'updates-per-run': 4 },
    });
    expect(text).toBe(
      '10 of 12 that cannot. ' +
        'Cells 0 to 1 (algorithm: td3, env: Pendulum-v1): train: updatesPerRun: expected 1 or a multiple of 3, the updates of the critics for one of the actor, got 4; ' +
        'cells 2 to 3 (algorithm: td3, env: Point-Robot): train td3: expected a policy for tasks, or an environment without a context, ' +
        'got "Point-Robot" with context goal.x, goal.y. Choose --policy hyper or context-mlp, or mlp, which does not see the task; ' +
        `cells 4 to 5, 10 to 11 (env: Pendulum-v2): environment: expected one of ${environmentNames.join(', ')}, or a path such as ./my-env.js, got "Pendulum-v2". Did you mean Pendulum-v1?; ` +
        'cells 6 to 7 (algorithm: maml, env: Pendulum-v1): train maml: expected an environment with tasks, such as HalfCheetah-Vel, got "Pendulum-v1", which has one task only. ' +
        other,
    );
  });

  const lowRank = { init: 'hfi', 'algorithm.critic.headRank': 2 };
  test.each([
    ['hypernetwork: expected initialisation hyperl or default with low-rank heads', 'td3', lowRank],
    ['hypernetwork: expected initialisation hyperl or default with low-rank heads', 'sac', lowRank],
    ['PEARL networks of pearl: expected mlp, got hyper', 'pearl', { networks: 'hyper', agent: 'pearl' }],
    ['PEARL trainRange: expected low and high of each of goal.x', 'pearl', { 'train-range': '0,1' }],
    ['PEARL learningReward: expected own', 'pearl', { env: 'HalfCheetah-Vel', 'learning-reward': 'dense' }],
    ['MAML inner steps of maml: expected at least one, got 0', 'maml', { policy: 'maml', 'inner-steps': 0 }],
    ['train maml: expected a policy of at most', 'maml', { policy: 'maml', hidden: '9000,9000' }],
    ['train: device: expected cpu, cuda or auto, got webgpu', 'maml', { device: 'webgpu' }],
    ['engine "cpu": expected no device, got cpu. The traced engine takes one', 'td3', { engine: 'cpu', device: 'cpu' }],
  ])('%s (%s)', async (reason, algorithm, own) => {
    const isOffPolicy = algorithm === 'td3' || algorithm === 'sac';
    const settings = { env: isOffPolicy ? 'Pendulum-v1' : 'Point-Robot', ...own };
    const { text } = await refusal({ grid: { algorithm: [algorithm] }, settings, store: join(folder, 'store') });
    expect(text).toContain(`1 of 1 that cannot. Cells 0 (algorithm: ${algorithm}): ${reason}`);
    expect(existsSync(join(folder, 'store'))).toBe(false);
  });

  test('an environment file that is not here is checked where the job runs, and told of', async () => {
    const missing = join(folder, 'my-env.js');
    const sweep = { grid: { algorithm: ['td3', 'maml'], env: [missing, 'Pendulum-v1'] } };
    expect((await refusal(sweep)).text).toContain(`3 of 4 that cannot. Cells 0, 2 (env: ${missing}): `);
    const { text, told } = await refusal(sweep, true);
    expect(told).toEqual([`${missing} is not here, so its cells 0, 2 are not checked`]);
    expect(text).toContain('1 of 4 that cannot. Cells 3 (algorithm: maml, env: Pendulum-v1): ');
  });

  test('are checked on the environment file that they train in: a run that was begun may find it elsewhere', async () => {
    // One of this name is in the folder of the tests.
    const moved = join(folder, 'vitest.config.ts');
    const ofMoved = { grid: { algorithm: ['td3'], env: [moved] } };
    expect((await refusal(ofMoved)).text).toContain(`expected a file at ${moved}, got none`);

    copyFileSync('test/envs/files/cart.js', join(folder, 'of-the-run.js'));
    const sweep = { grid: { algorithm: ['td3'], env: ['./of-the-run.js'], seed: [0, 1] } };
    const { cells } = await readSweep(write({ ...small(), ...sweep }), 1);
    mkdirSync(cells[1]!.runDirectory, { recursive: true });
    const begun = { ...cells[1]!.config, workingDirectory: folder };
    writeFileSync(join(cells[1]!.runDirectory, 'config.json'), JSON.stringify(begun));
    expect((await refusal(sweep)).text).toContain(
      '1 of 2 that cannot. Cells 0 (algorithm: td3, env: ./of-the-run.js): ',
    );
  });

  test('cells that can be trained pass', async () => {
    const grid = { algorithm: ['td3', 'sac'], env: ['Pendulum-v1', 'Point-Robot'], policy: ['mlp'], seed: [0, 1] };
    expect(await refusal({ grid })).toEqual({ text: 'none', told: [] });
  });
});

/** Stands in for `hyperpolicy train`: leaves a metric of its seed, or fails where the file `fail` is there. */
function standIn(): string[] {
  const script = join(folder, 'train.mjs');
  writeFileSync(
    script,
    `import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
     const value = (flag) => process.argv[process.argv.indexOf(flag) + 1];
     const run = value('--run');
     appendFileSync(${JSON.stringify(join(folder, 'began.log'))}, (process.argv.includes('--resume') ? 'resumed ' : 'began ') + run + '\\n');
     if (existsSync(${JSON.stringify(join(folder, 'fail'))}) && run.endsWith('td3-mlp-small-pendulum-v1-seed1')) {
       console.error('no memory');
       process.exit(1);
     }
     const evaluationReturn = 10 * Number(value('--seed')) + (run.includes('sa-hyper') ? 100 : 0);
     writeFileSync(run + '/metrics.jsonl', JSON.stringify({ step: 1, seconds: 1, evaluationReturn }) + '\\n');`,
  );
  return [process.execPath, script];
}

/** For a table that leaves nothing out. */
const refuseToTell = (line: string) => {
  throw new Error(line);
};

describe('running a sweep', () => {
  const run = async (processCount: number, aborted = false) => {
    const { cells } = await sweepOf(small([0, 1, 2]));
    const noted: CellEnd[] = [];
    const signal = aborted ? AbortSignal.abort() : new AbortController().signal;
    const ends = await runCells(cells, { command: standIn(), processCount, signal, note: (end) => noted.push(end) });
    expect(noted).toHaveLength(cells.length);
    return { cells, how: ends.map((end) => end.how) };
  };

  test('does each cell once; what failed is tried again by the next one, from its checkpoint where it has one', async () => {
    writeFileSync(join(folder, 'fail'), '');
    const first = await run(3);
    expect(first.how).toEqual(first.cells.map(({ index }) => (index === 1 ? 'failed' : 'done')));
    const failed = first.cells[1]!.runDirectory;
    expect(readFileSync(join(failed, 'sweep-output.log'), 'utf8')).toContain('no memory');
    expect(summarise(first.cells, refuseToTell)[0]).toMatchObject({ seedCount: 2, mean: 10 });

    rmSync(join(folder, 'fail'));
    mkdirSync(join(failed, 'checkpoints', '500'), { recursive: true });
    const second = await run(3);
    expect(second.how).toEqual(second.cells.map(({ index }) => (index === 1 ? 'done' : 'done before')));
    expect(readFileSync(join(folder, 'began.log'), 'utf8').trim().split('\n').at(-1)).toBe(`resumed ${failed}`);
  });

  test('a cell that was killed before its first checkpoint does not publish its evaluations twice', async () => {
    const store = join(folder, 'store');
    const short = {
      steps: 300,
      'warm-up': 100,
      'eval-every': 100,
      'eval-episodes': 1,
      'batch-size': 16,
      'actor-hidden': '16',
    };
    const grid = { algorithm: ['td3'], critic: ['mlp-small'], env: ['Pendulum-v1'] };
    const read = async () => (await sweepOf({ ...small(), store, publish: 'every', grid, settings: short })).cells;
    const main = new URL('../../../dist/clients/cli/main.js', import.meta.url).pathname;
    const options = { command: [process.execPath, main], processCount: 1, signal: new AbortController().signal };
    const howOf = async () => (await runCells(await read(), { ...options, note: () => {} })).map(({ how }) => how);
    const versions = () => readdirSync(join(store, 'small-td3-mlp-small-pendulum-v1-seed0')).sort();
    expect(await howOf()).toEqual(['done']);
    // Steps 200 and 300.
    expect(versions()).toEqual(['1', '2']);
    const { runDirectory } = (await read())[0]!;
    forgetCheckpoints(runDirectory);
    rmSync(join(runDirectory, 'sweep-done.json'));
    expect(await howOf()).toEqual(['done']);
    expect(versions()).toEqual(['1', '2']);
  });

  test('does not take a training for done that somebody else interrupted', async () => {
    const { cells } = await sweepOf({ ...small([0]), grid: { algorithm: ['td3'] } });
    const child = new URL('../../../dist/trainer/run/parent-process.js', import.meta.url).href;
    // Ends as `hyperpolicy train` does after SIGTERM: with code 0.
    const script = join(folder, 'interrupted.mjs');
    writeFileSync(script, `import { tellInterrupted } from ${JSON.stringify(child)}; tellInterrupted();`);
    const command = [process.execPath, script];
    const signal = new AbortController().signal;
    const [end] = await runCells(cells, { command, processCount: 1, signal, note: () => {} });
    expect(end!.how).toBe('interrupted');
    expect(existsSync(join(end!.cell.runDirectory, 'sweep-done.json'))).toBe(false);
  });

  test('a cell whose settings were edited is refused before any begins; more seeds are not', async () => {
    const options = { command: standIn(), processCount: 2, signal: new AbortController().signal, note: () => {} };
    const cellsOf = async (sweep: object) => (await sweepOf(sweep)).cells;
    await runCells(await cellsOf(small([0])), options);
    const more = await runCells(await cellsOf(small([0, 1])), options);
    expect(more.map(({ how }) => how)).toEqual([0, 1, 2, 3].flatMap(() => ['done before', 'done']));
    const began = readFileSync(join(folder, 'began.log'), 'utf8');
    const edited = await cellsOf({ ...small([0, 1, 2]), settings: { steps: '2e3' } });
    await expect(runCells(edited, options)).rejects.toThrow(
      /: expected the settings that it was begun with, steps: 1e3, got steps: 2e3\. Write those back, or give the edited sweep another name$/,
    );
    expect(readFileSync(join(folder, 'began.log'), 'utf8')).toBe(began);
  });

  test('a cell whose settings are written in another way goes on; what was added, left out or changed is named alone', async () => {
    const options = { command: standIn(), processCount: 1, signal: new AbortController().signal, note: () => {} };
    const run = async (settings: object) => {
      const { cells } = await sweepOf({ ...small(), grid: { algorithm: ['td3'], critic: ['sa-hyper'] }, settings });
      return (await runCells(cells, options)).map(({ how }) => how);
    };
    const rank = { 'algorithm.critic.headRank': 2 };
    await run({ ...rank, steps: '1e3', trunk: '64,64', gamma: 0.9 });
    expect(await run({ trunk: '64, 64', gamma: '0.90', steps: 1000, ...rank })).toEqual(['done before']);
    await expect(run({ trunk: '64, 32', 'batch-size': 8, ...rank, steps: '1e3' })).rejects.toThrow(
      'td3-sa-hyper-seed0: expected the settings that it was begun with, trunk: 64,64, gamma: 0.9, no batch-size, got trunk: 64, 32, no gamma, batch-size: 8. ',
    );
    await expect(
      run({ ...rank, 'algorithm.critic.headRank': 3, steps: 1e3, trunk: '64,64', gamma: 0.9 }),
    ).rejects.toThrow('begun with, algorithm.critic.headRank: 2, got algorithm.critic.headRank: 3. ');
  });

  test('a sweep whose grid names are in another order goes on in the directories that it began, and has its whole table', async () => {
    const options = { command: standIn(), processCount: 1, signal: new AbortController().signal, note: () => {} };
    // The two lists have the same values, so a cell's name in one order is another cell's in the other.
    const [actor, critic] = [{ 'actor-lr': [0.1, 0.2] }, { 'critic-lr': [0.1, 0.2] }];
    const algorithm = ['td3'];
    const cellsOf = async (grid: object) => (await sweepOf({ ...small(), grid })).cells;
    const begun = await cellsOf({ algorithm, ...actor, ...critic });
    await runCells(begun.slice(0, 3), options);
    const again = await cellsOf({ ...critic, ...actor, algorithm });
    const directoriesOf = (cells: typeof begun) =>
      Object.fromEntries(
        cells.map(({ group, runDirectory }) => [`${group['actor-lr']} ${group['critic-lr']}`, runDirectory]),
      );
    expect(directoriesOf(again)).toEqual(directoriesOf(begun));
    // In the order of the file: the cell that was not begun is the last of either.
    expect(again.map(({ group }) => group['critic-lr'])).toEqual(['0.1', '0.1', '0.2', '0.2']);
    const ends = await runCells(again, options);
    expect(ends.map(({ how }) => how)).toEqual(['done before', 'done before', 'done before', 'done']);
    expect(summarise(again, refuseToTell)).toHaveLength(4);
    expect(directoriesOf(await cellsOf({ algorithm, ...actor, ...critic }))).toEqual(directoriesOf(begun));
  });

  test('a name that moves between settings and grid leaves runs where they were begun; another value of it is a further run', async () => {
    const options = { command: standIn(), processCount: 1, signal: new AbortController().signal, note: () => {} };
    const grid = { algorithm: ['td3'], critic: ['mlp-small'], seed: [0, 1] };
    const run = async (sweep: object) => {
      const { cells } = await sweepOf({ ...small(), store: join(folder, 'store'), ...sweep });
      const ends = await runCells(cells, options);
      return ends.map(({ cell: { runDirectory }, how }) => `${basename(runDirectory)}: ${how}`);
    };
    const was = ['td3-mlp-small-seed0', 'td3-mlp-small-seed1'];
    expect(await run({ grid, settings: { steps: '1e3' } })).toEqual(was.map((name) => `${name}: done`));
    const before = was.map((name) => `${name}: done before`);
    expect(await run({ grid: { ...grid, steps: [1000] }, settings: {} })).toEqual(before);
    expect(
      await run({ grid: { algorithm: ['td3'], seed: [0, 1] }, settings: { steps: 1000, critic: 'mlp-small' } }),
    ).toEqual(before);
    const longer = ['td3-2000-mlp-small-seed0', 'td3-2000-mlp-small-seed1'];
    const both = { grid: { ...grid, steps: ['1e3', 2000] }, settings: {} };
    expect((await run(both)).sort()).toEqual([...longer.map((name) => `${name}: done`), ...before].sort());
    expect((await run(both)).sort()).toEqual([...longer, ...was].map((name) => `${name}: done before`).sort());
  });

  test('a sweep keeps the order of its file beside one in the same folder that has the same cell in another', async () => {
    const options = { command: standIn(), processCount: 1, signal: new AbortController().signal, note: () => {} };
    const [actor, critic] = [{ 'actor-lr': [0.1] }, { 'critic-lr': [0.2, 0.3] }];
    const cellsOf = async (grid: object) =>
      (await sweepOf({ ...small(), grid: { algorithm: ['td3'], ...grid } })).cells;
    const [first] = await cellsOf({ ...actor, ...critic });
    const [, other] = await cellsOf({ ...critic, ...actor });
    await runCells([first!, other!], options);
    // Neither order's runs are left behind for those of the other.
    expect((await cellsOf({ ...actor, ...critic }))[0]!.runDirectory).toBe(first!.runDirectory);
    expect((await cellsOf({ ...critic, ...actor }))[1]!.runDirectory).toBe(other!.runDirectory);
  });

  test('a directory that another order of the grid gave to other values is refused as such', async () => {
    const options = { command: standIn(), processCount: 1, signal: new AbortController().signal, note: () => {} };
    const cellsOf = async (grid: object) =>
      (await sweepOf({ ...small(), grid: { algorithm: ['td3'], ...grid } })).cells;
    await runCells(await cellsOf({ 'actor-lr': [0.1], 'critic-lr': [0.2] }), options);
    // As the one before, this has no cell of the other order.
    await runCells(await cellsOf({ 'critic-lr': [0.1], 'actor-lr': [0.3] }), options);
    const taken = join(folder, 'runs', 'td3-0.1-0.2-seed0');
    const remedy = 'the names of grid in the order that its runs were begun with';
    await expect(runCells(await cellsOf({ 'critic-lr': [0.1], 'actor-lr': [0.2, 0.3] }), options)).rejects.toThrow(
      `sweep: ${taken}: expected a directory for each run, got that of actor-lr: 0.1, critic-lr: 0.2. Give ${remedy}, or the sweep another name`,
    );
    await expect(cellsOf({ 'critic-lr': [0.1, 0.2], 'actor-lr': [0.1, 0.2, 0.3] })).rejects.toThrow(
      `grid: expected a directory for each run, got ${taken} for cells 1, 3. Give values that differ in letters or digits, and ${remedy}`,
    );
  });

  test('a cell that cannot begin ends the sweep: those that run end as if interrupted, and no other begins', async () => {
    const { cells } = await sweepOf(small([0, 1, 2]));
    const script = join(folder, 'waits.mjs');
    writeFileSync(
      script,
      `import { appendFileSync } from 'node:fs';
       process.on('SIGTERM', () => { note('ended'); process.exit(0); });
       const note = (word) => appendFileSync(${JSON.stringify(join(folder, 'waits.log'))}, word + '\\n');
       note('began');
       setInterval(() => {}, 1000);`,
    );
    const log = () => (existsSync(join(folder, 'waits.log')) ? readFileSync(join(folder, 'waits.log'), 'utf8') : '');
    // The second cell waits for nothing: its directory cannot be made.
    mkdirSync(join(folder, 'runs'));
    writeFileSync(cells[1]!.runDirectory, 'a file');
    const noted: CellEnd[] = [];
    const options = { command: [process.execPath, script], processCount: 2, signal: new AbortController().signal };
    await expect(runCells(cells, { ...options, note: (end) => noted.push(end) })).rejects.toMatchObject({
      kind: 'failed_precondition',
      where: `run directory "${cells[1]!.runDirectory}"`,
      actual: expect.stringContaining('EEXIST'),
    });
    expect(noted.map(({ cell, how }) => [cell.index, how])).toEqual([[0, 'interrupted']]);
    expect(['', 'began\nended\n']).toContain(log());
    expect(existsSync(cells[2]!.runDirectory)).toBe(false);
  });

  test('begins nothing once it is interrupted', async () => {
    const { how } = await run(2, true);
    expect(new Set(how)).toEqual(new Set(['interrupted']));
    expect(existsSync(join(folder, 'began.log'))).toBe(false);
  });

  test('makes one table: mean, standard deviation, interquartile mean and its interval', async () => {
    const { cells } = await run(2);
    // Seeds give 0, 10, 20.
    const [row] = summarise(cells, refuseToTell);
    expect(row).toMatchObject({ seedCount: 3, mean: 10, standardDeviation: 10, interquartileMean: 10 });
    expect(row!.interval).toEqual({ low: 0, high: 20 });
    expect(summaryTable(summarise(cells, refuseToTell).slice(0, 2))).toBe(
      [
        'algorithm  critic     env          seeds   mean   std    IQM  95% interval of the IQM',
        'td3        mlp-small  Pendulum-v1      3   10.0  10.0   10.0              0.0 to 20.0',
        'td3        sa-hyper   Pendulum-v1      3  110.0  10.0  110.0           100.0 to 120.0',
        '',
      ].join('\n'),
    );
  });

  test('has the decimals that each row needs, so that success rates are told apart', () => {
    const row = (algorithm: string, values: readonly [number, number, number, number, number]) => {
      const [mean, standardDeviation, interquartileMean, low, high] = values;
      const interval = { low, high };
      return { group: { algorithm }, seedCount: 3, mean, standardDeviation, interquartileMean, interval };
    };
    const rows = [row('td3', [0.72, 0.0283, 0.72, 0.7, 0.74]), row('sac', [1234.56, 7.89, 1230, 1220, 1250])];
    expect(summaryTable(rows)).toBe(
      [
        'algorithm  seeds    mean    std     IQM  95% interval of the IQM',
        'td3            3   0.720  0.028   0.720           0.700 to 0.740',
        'sac            3  1234.6    7.9  1230.0         1220.0 to 1250.0',
        '',
      ].join('\n'),
    );
  });

  test('a cell whose metrics cannot be read is named, and left out of the table', async () => {
    const { cells } = await run(2);
    const { runDirectory } = cells[1]!;
    writeFileSync(join(runDirectory, 'metrics.jsonl'), 'no record\n{"step":2,"seconds":1,"evaluationReturn":7}\n');
    const told: string[] = [];
    const [row] = summarise(cells, (line) => told.push(line));
    // Seeds 0 and 2.
    expect(row).toMatchObject({ seedCount: 2, mean: 10 });
    expect(told).toEqual([
      `left out cell 1, ${runDirectory}: ${join(runDirectory, 'metrics.jsonl')}:1: expected an object of numbers with step and seconds, got no record. Remove that line`,
    ]);
  });

  test('a cell that is done and has no evaluation is named, too', async () => {
    const { cells } = await run(2);
    const { runDirectory } = cells[1]!;
    writeFileSync(join(runDirectory, 'metrics.jsonl'), '');
    const told: string[] = [];
    expect(summarise(cells, (line) => told.push(line))[0]).toMatchObject({ seedCount: 2 });
    expect(told).toEqual([`left out cell 1, ${runDirectory}: its metrics have no evaluation`]);
  });
});

test('jobs for clusters run one cell per index, with the threads that they ask for', async () => {
  const sweep = await sweepOf(small(), jobCoreCount);
  const slurm = slurmArray(sweep, "/data/my 'sweep'.yaml", 4);
  expect(slurm).toContain('#SBATCH --array=0-7%4\n');
  // Without it no signal reaches the cell.
  expect(slurm).toContain('export npm_config_script_shell=bash\n');
  expect(slurm).toContain(
    `exec npx hyperpolicy sweep '/data/my '\\''sweep'\\''.yaml' --cell "$SLURM_ARRAY_TASK_ID" --threads 2\n`,
  );
  expect(slurm).toContain('#SBATCH --cpus-per-task=2\n');
  const kubernetesCommand = ['npx', 'hyperpolicy', 'sweep', '/sweep/sweep.yaml', '--cell', '$(JOB_COMPLETION_INDEX)'];
  expect(parse(kubernetesJob(sweep, 'a/sweep.yaml', 20))).toMatchObject({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'small' },
    spec: {
      completionMode: 'Indexed',
      completions: 8,
      parallelism: 8,
      podFailurePolicy: { rules: [{ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget' }] }] },
      template: {
        spec: {
          containers: [
            {
              command: [...kubernetesCommand, '--threads', '2'],
              resources: { requests: { cpu: '2' } },
              env: [{ name: 'npm_config_script_shell', value: 'bash' }],
            },
          ],
        },
      },
    },
  });
});

test('a job asks for the cores of the threads that the file gives', async () => {
  const sweep = await sweepOf({ ...small(), settings: { threads: 8 } }, jobCoreCount);
  const slurm = slurmArray(sweep, 'sweep.yaml');
  expect(slurm).toContain('#SBATCH --cpus-per-task=8\n');
  expect(slurm).toContain('--cell "$SLURM_ARRAY_TASK_ID"\n');
  const job = kubernetesJob(sweep, 'sweep.yaml');
  expect(job).toContain('cpu: "8"');
  expect(job).not.toContain('--threads');
});

test('how many cells run at a time is left to the cluster, unless it is given', async () => {
  const sweep = await sweepOf(small());
  expect(slurmArray(sweep, 'sweep.yaml')).toContain('#SBATCH --array=0-7\n');
  const parallelism = (count?: number) => parse(kubernetesJob(sweep, 'sweep.yaml', count)).spec.parallelism;
  expect([parallelism(), parallelism(3), parallelism(20)]).toEqual([8, 3, 8]);
});

test("an array beyond Slurm's default says so", async () => {
  const sweep = await sweepOf(small());
  const script = (count: number) => slurmArray({ ...sweep, cells: Array(count).fill(sweep.cells[0]) }, 'sweep.yaml');
  const [fits, large] = [script(1001), script(1002)];
  expect(fits).toContain('--array=0-1000\n');
  expect(fits).not.toContain('MaxArraySize');
  expect(large).toContain(
    "\n# The cluster's MaxArraySize (scontrol show config) must be at least 1002; Slurm's default is 1001.\n",
  );
});
