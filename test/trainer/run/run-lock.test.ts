import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lockDirectory } from '../../../trainer/run/run-lock.ts';
import { testWith } from '../../requirements.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'run-lock-test-'));
});
afterEach(() => rm(directory, { recursive: true }));

const built = pathToFileURL(join(import.meta.dirname, '../../../dist/trainer/run/run-lock.js')).href;

/** A process that takes the lock, says so, and stays. */
async function holder(of = directory) {
  const code = `import { lockDirectory } from ${JSON.stringify(built)};
    await lockDirectory(${JSON.stringify(of)}); process.stdout.write('held'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}

async function kill(child: Awaited<ReturnType<typeof holder>>): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

const refusal = (owner: string) => ({
  kind: 'failed_precondition',
  message: `run directory "${directory}": expected one that no other process trains in, got ${owner} at work. Wait for it, or name another directory: train has --run for that, quickstart --runs`,
});

test('another process is refused and named, also one that is stopped', async () => {
  const child = await holder();
  await expect(lockDirectory(directory)).rejects.toMatchObject(refusal(`process ${child.pid}`));
  child.kill('SIGSTOP');
  await expect(lockDirectory(directory)).rejects.toMatchObject(refusal('another process'));
  await kill(child);
});

const otherUser = 65_534;
const asRoot = testWith(process.getuid?.() === 0, 'root, who may become another user', 'Run the tests as root');

/** Takes the lock and gives it back. */
async function lockAs(user: number): Promise<void> {
  process.seteuid!(user);
  try {
    const release = await lockDirectory(directory);
    release();
  } finally {
    process.seteuid!(0);
  }
}

asRoot('another user can ask, and takes what a killed process left', async () => {
  await chmod(directory, 0o777);
  const child = await holder();
  await expect(lockAs(otherUser)).rejects.toMatchObject(refusal(`process ${child.pid}`));
  await kill(child);
  await lockAs(otherUser);
  expect(await readdir(directory)).toEqual([]);
});

asRoot('also where only its owner could remove that, as among temporary files', async () => {
  await chmod(directory, 0o1777);
  await kill(await holder());
  await lockAs(otherUser);
  expect(await readdir(directory)).toHaveLength(1);
});

test('a process that was killed does not count', async () => {
  await kill(await holder());
  expect(await readdir(directory)).toHaveLength(1);
  const release = await lockDirectory(directory);
  expect(await readdir(directory)).toHaveLength(1);
  release();
  expect(await readdir(directory)).toEqual([]);
});

test('of many that come at once upon a dead one, one gets it', async () => {
  for (let round = 0; round < 5; round++) {
    await kill(await holder());
    const taken = await Promise.allSettled(Array.from({ length: 8 }, () => lockDirectory(directory)));
    const held = taken.filter(({ status }) => status === 'fulfilled');
    expect(held).toHaveLength(1);
    for (const one of held) (one as PromiseFulfilledResult<() => void>).value();
    expect(await readdir(directory)).toEqual([]);
  }
});

test('a long path has a lock too', async () => {
  const long = join(directory, 'x'.repeat(120), 'y'.repeat(120));
  await mkdir(long, { recursive: true });
  const release = await lockDirectory(long);
  await expect(lockDirectory(long)).rejects.toThrow(`process ${process.pid} at work`);
  release();
  expect(await readdir(long)).toEqual([]);
});
