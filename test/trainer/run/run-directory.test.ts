import { appendFile, link, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openRunDirectory, readRunConfig, requireNoRun, requireRun } from '../../../trainer/run/run-directory.ts';

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'run-directory-test-'));
  path = join(directory, 'config.json');
});
afterEach(() => rm(directory, { recursive: true }));

const configOf = (stepCount: number) => ({ environment: 'Pendulum-v1', algorithm: {}, loop: { stepCount } });

async function openAndRelease(config: unknown, resume = false): Promise<void> {
  const opened = await openRunDirectory(directory, { config, resume });
  opened.release();
}

describe('the config of a run', () => {
  test('comes back, and nothing else is left', async () => {
    await openAndRelease(configOf(5));
    expect(readRunConfig(directory)).toEqual(configOf(5));
    expect(await readdir(directory)).toEqual(['config.json']);
  });

  test('is replaced whole: whoever holds the old file still has all of it', async () => {
    await openAndRelease(configOf(5));
    const before = await readFile(path, 'utf8');
    await link(path, join(directory, 'old'));
    await openAndRelease(configOf(6), true);
    expect(await readFile(join(directory, 'old'), 'utf8')).toBe(before);
    expect(readRunConfig(directory)).toEqual(configOf(6));
  });

  test('is written again after a writer was killed in the middle', async () => {
    await openAndRelease(configOf(5));
    await writeFile(join(directory, '.config-json'), '{"env');
    expect(readRunConfig(directory)).toEqual(configOf(5));
    await openAndRelease(configOf(6), true);
    expect(readRunConfig(directory)).toEqual(configOf(6));
    expect(await readdir(directory)).toEqual(['config.json']);
  });

  test('that cannot be written is refused, and the directory is free again', async () => {
    await mkdir(join(directory, '.config-json'));
    const refused = {
      kind: 'failed_precondition',
      message: expect.stringContaining('that can be written, got Path is a directory'),
    };
    await expect(openAndRelease(configOf(5))).rejects.toMatchObject(refused);
    expect(await readdir(directory)).not.toContain('lock');
  });

  test('missing, emptied or of something else, it is refused by name', async () => {
    const refusal = (actual: string) => `${path}: expected the config of a run, got ${actual}`;
    const remedy = 'train.log has the settings of each start; write them back, or begin another run';
    expect(() => readRunConfig(directory)).toThrow(`${refusal('no file')}. Name the directory of a run`);
    await writeFile(path, '');
    expect(() => readRunConfig(directory)).toThrow(`${refusal('an empty file')}. ${remedy}`);
    await writeFile(path, '{}');
    expect(() => readRunConfig(directory)).toThrow(`${refusal('one without environment, algorithm, loop')}. ${remedy}`);
    await writeFile(path, 'null');
    expect(() => readRunConfig(directory)).toThrow(refusal('one without environment, algorithm, loop'));
    await writeFile(path, '{"environment": "Pendulum-v1", "algorithm": {}, "loop": null}');
    expect(() => readRunConfig(directory)).toThrow(`${refusal('one without loop')}. ${remedy}`);
    await writeFile(path, '{"environment": ');
    expect(() => readRunConfig(directory)).toThrow(refusal(''));
  });
});

test.each(['a file', 'a file/run'])(
  '%s in the place of a directory is refused as one that cannot be written',
  async (name) => {
    await writeFile(join(directory, 'a file'), '');
    const place = join(directory, name);
    await expect(requireNoRun(place, undefined)).resolves.toBeUndefined();
    await expect(openRunDirectory(place, { config: configOf(5), resume: false })).rejects.toMatchObject({
      kind: 'failed_precondition',
      message: expect.stringContaining(`run directory "${place}": expected a directory that can be written, got E`),
    });
  },
);

test('a directory without a run is refused, with the run beside it that may be meant', async () => {
  const refusal = (name: string) => `run directory "${join(directory, name)}": expected a run, got`;
  const anew = 'To begin a new one leave out --resume';
  const readIn = (name: string) => () => requireRun(join(directory, name));
  expect(readIn('cheeta')).toThrow(`${refusal('cheeta')} nothing there. Name the run with --run. ${anew}`);
  for (const name of ['cheetah-seed0', 'cheeta']) await mkdir(join(directory, name));
  await writeFile(join(directory, 'cheetah-seed0', 'config.json'), JSON.stringify(configOf(5)));
  const near = `Did you mean --run ${join(directory, 'cheetah-seed0')}? ${anew}`;
  for (const name of ['cheetah', 'chetah-seed0', 'cheetah-seed1']) {
    expect(readIn(name)).toThrow(`${refusal(name)} nothing there. ${near}`);
  }
  // Too far from that one, and no run itself.
  expect(readIn('cheeta')).toThrow(
    `${refusal('cheeta')} a folder without config.json. Name the run with --run. ${anew}`,
  );
});

describe('a run directory', () => {
  test('is for one process at a time; one that is gone does not count', async () => {
    const opened = await openRunDirectory(directory, { config: configOf(5), resume: false });
    await expect(openRunDirectory(directory, { config: configOf(6), resume: true })).rejects.toThrow(
      `run directory "${directory}": expected one that no other process trains in, got process ${process.pid} at work. Wait for it, or name another directory: train has --run for that, quickstart --runs`,
    );
    expect(readRunConfig(directory)).toEqual(configOf(5));
    opened.release();
    await writeFile(join(directory, 'lock'), String(2 ** 30)); // above the largest process id
    await openAndRelease(configOf(6), true);
    expect(readRunConfig(directory)).toEqual(configOf(6));
  });

  test('with a checkpoint is not begun again, and its config stays', async () => {
    await openAndRelease(configOf(5));
    await mkdir(join(directory, 'checkpoints', '10'), { recursive: true });
    const remedy = (command: string) =>
      `To begin another run name its directory with --run, or without --run another --model or --seed. To go on with that one: ${command}`;
    const refusal = `run directory "${directory}": expected an empty or new directory, got one with a run in it`;
    await expect(openRunDirectory(directory, { config: configOf(6), resume: false })).rejects.toThrow(
      `${refusal}. ${remedy('`resume: true`')}`,
    );
    await expect(requireNoRun(directory, 'hyperpolicy train td3 --resume')).rejects.toThrow(
      `${refusal}. ${remedy('hyperpolicy train td3 --resume')}`,
    );
    expect(readRunConfig(directory)).toEqual(configOf(5));
  });

  test('with files that no run made is refused, and keeps them', async () => {
    await mkdir(join(directory, 'best'));
    await writeFile(join(directory, 'best', 'model.bin'), 'theirs');
    await mkdir(join(directory, 'tensorboard'));
    await writeFile(join(directory, 'metrics.csv'), 'theirs');
    await writeFile(join(directory, 'config.json'), '{"name": "theirs"}');
    await writeFile(join(directory, 'train.log'), 'training starts\n');
    await expect(openAndRelease(configOf(5))).rejects.toThrow(
      `run directory "${directory}": expected an empty or new directory, got one with metrics.csv, best, tensorboard, config.json, which no run made. Name another directory with --run, or move these away`,
    );
    expect(await readdir(directory)).toEqual(['best', 'config.json', 'metrics.csv', 'tensorboard', 'train.log']);
    expect(await readFile(path, 'utf8')).toBe('{"name": "theirs"}');
    expect(await readFile(join(directory, 'best', 'model.bin'), 'utf8')).toBe('theirs');
    // Settings, such as those that --print-config wrote, are not a run that began.
    await writeFile(path, JSON.stringify(configOf(5)));
    await expect(openAndRelease(configOf(5))).rejects.toThrow(
      'got one with metrics.csv, best, tensorboard, which no run made',
    );
    expect(await readFile(join(directory, 'best', 'model.bin'), 'utf8')).toBe('theirs');
  });

  test('with other files is taken, and keeps them', async () => {
    await writeFile(join(directory, 'notes.txt'), 'theirs');
    await openAndRelease(configOf(5));
    expect(await readdir(directory)).toEqual(['config.json', 'notes.txt']);
  });

  test('of a run that was killed before its first checkpoint begins anew, however far it came', async () => {
    // Killed before its first file was whole: its socket and that file aside.
    await writeFile(join(directory, 'lock-0123abcd'), '');
    await writeFile(join(directory, '.config-json'), '{"env');
    await openAndRelease(configOf(5));
    expect(await readdir(directory)).toEqual(['config.json']);
    // After some metrics.
    await appendFile(join(directory, 'train.log'), '{"level":30,"msg":"training starts"}\n');
    await writeFile(join(directory, 'metrics.jsonl'), '');
    await mkdir(join(directory, 'best', '100'), { recursive: true });
    await openAndRelease(configOf(6));
    expect(await readdir(directory)).toEqual(['config.json', 'train.log']);
    // The log alone tells of it.
    await writeFile(path, '');
    await writeFile(join(directory, 'metrics.jsonl'), '');
    await openAndRelease(configOf(7));
    expect(await readdir(directory)).toEqual(['config.json', 'train.log']);
    expect(readRunConfig(directory)).toEqual(configOf(7));
  });
});
