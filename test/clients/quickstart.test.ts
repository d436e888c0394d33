/** The README's first command, shortened: train, publish, serve, drive; and what it does the second time. */

import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, onTestFinished, test, vi } from 'vitest';
import { type Running, runCommand, startCommand, startProcess } from './command.ts';

const directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-quickstart-'));
afterAll(() => rm(directory, { recursive: true, force: true }));

/** Nobody of its process group is left after the test. */
const endWithTest = (running: Running) =>
  onTestFinished(() => {
    try {
      process.kill(-running.process.pid!, 'SIGKILL');
    } catch {
      // Nobody is left in the group.
    }
  });

const ports = ['--port', '0', '--metrics-port', '0'];

test('trains, serves, and drives an episode whose every action equals the in-process one', async () => {
  const { code, stdout, stderr } = await runCommand(['quickstart', '--exit', '--steps', '1200', ...ports], directory);
  expect(stderr).toContain('step 1200: evaluation return');
  expect(stdout).toMatch(/Published .*halfcheetah-quickstart\/1/);
  expect(stdout).toMatch(/Return of an episode through the server \(gRPC\) +-?[\d.]+ +\(1000 steps\)/);
  expect(stdout).toMatch(/Return of the same policy in this process +-?[\d.]+ +\(every action bit-equal\)/);
  expect(stdout).toMatch(/Mean return of a random policy, 10 episodes +-[\d.]+/);
  expect(stdout).toMatch(/QGrad at the first observation: q -?[\d.]+, dq\/da \[/);
  expect(code).toBe(0);
});

test('the help says how many steps are warm-up', async () => {
  const { stdout } = await runCommand(['quickstart', '--help'], directory);
  expect(stdout.replaceAll(/\s+/g, ' ')).toContain(
    'nothing is learnt in the first 1000, which are warm-up (default: 32000)',
  );
});

test('skips training where the newest version has these steps and this seed, and serves until it is told to stop', async () => {
  const running = startCommand(['quickstart', '--steps', '1200', ...ports], directory);
  await running.until(/Serving until Ctrl-C/);
  running.process.kill('SIGTERM');
  const { code, stdout } = await running.finished;
  expect(stdout).toContain(
    'Version 1 of "halfcheetah-quickstart" in .hyperpolicy/store was trained for 1200 steps with seed 0: training is skipped. ' +
      'Other --steps or another --seed train a further version.',
  );
  expect(stdout).toContain('every action bit-equal');
  expect(code).toBe(0);
});

test.each([
  ['SIGTERM to npm', 'SIGTERM', 1],
  ['Ctrl-C, which every process of the group gets', 'SIGINT', -1],
] as const)('%s ends npm start and its server', async (_name, signal, group) => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: { start: string } };
  // As it is written, but the build is done.
  const start = scripts.start.replace('npm run build', 'true').replace('dist/', `${join(root, 'dist')}/`);
  await writeFile(join(directory, 'package.json'), JSON.stringify({ private: true, scripts: { start } }));
  const running = startProcess('npm', ['start', '--', '--steps', '1200', ...ports], { cwd: directory, detached: true });
  endWithTest(running);
  let output = '';
  running.process.stdout!.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  await running.until(/Serving until Ctrl-C/);
  const [, address] = /gRPC (\S+)/.exec(output)!;
  process.kill(group * running.process.pid!, signal);
  // Its streams close once the last process that has them is gone.
  await running.finished;
  const asked = await runCommand(['models', 'list', '--server', address!], directory);
  expect(asked.stderr).toContain('a refused connection');
});

test('SIGTERM while the server starts ends both', async () => {
  const log = join(directory, 'runs/server.log');
  await rm(log);
  const main = fileURLToPath(new URL('../../dist/clients/cli/main.js', import.meta.url));
  const args = [main, 'quickstart', '--steps', '1200', ...ports];
  const running = startProcess(process.execPath, args, { cwd: directory, detached: true });
  endWithTest(running);
  // It is there once the server has been started.
  await vi.waitFor(() => access(log), { timeout: 60_000, interval: 5 });
  expect(await readFile(log, 'utf8')).not.toContain('"serving"');
  running.process.kill('SIGTERM');
  // The server has the same standard error, so this waits for both.
  const { code, stdout, stderr } = await running.finished;
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).not.toContain('Serving');
});

test('publishes again from the run where the package is damaged, and says what was wrong', async () => {
  const policy = join(directory, '.hyperpolicy/store/halfcheetah-quickstart/1/policy.onnx');
  const bytes = await readFile(policy);
  await writeFile(policy, bytes.subarray(0, 1000));
  const { code, stdout } = await runCommand(['quickstart', '--exit', '--steps', '1200', ...ports], directory);
  expect(stdout).toContain(`policy.onnx: expected ${bytes.length} bytes, got 1000`);
  expect(stdout).toMatch(/Published .*halfcheetah-quickstart\/2/);
  expect(stdout).toContain('every action bit-equal');
  expect(code).toBe(0);
});

test('other steps and another seed train a further version, which the next run takes, and none is lost', async () => {
  const quickstart = (...args: string[]) => runCommand(['quickstart', '--exit', ...args, ...ports], directory);
  const other = await quickstart('--steps', '1100', '--seed', '1');
  expect(other.stdout).toContain(
    'Version 2 of "halfcheetah-quickstart" in .hyperpolicy/store was trained for 1200 steps with seed 0, not for 1100 with seed 1: a further version is published.',
  );
  expect(other.stdout).toMatch(/Training TD3.*, 1100 steps/);
  expect(other.stdout).toMatch(/Published .*halfcheetah-quickstart\/3/);
  expect(other.stdout).toContain('every action bit-equal');
  // Its run is finished: it is published again, so that the newest version is the one asked for.
  const former = await quickstart('--steps', '1200');
  expect(former.stdout).toContain('for 1100 steps with seed 1, not for 1200 with seed 0');
  expect(former.stdout).toMatch(/Published .*halfcheetah-quickstart\/4/);
  expect(former.stderr).not.toMatch(/ 9\d%/);
  const again = await quickstart('--steps', '1200');
  expect(again.stdout).toContain('Version 4 of');
  expect(again.stdout).toContain('training is skipped');
  const versions = (await readdir(join(directory, '.hyperpolicy/store/halfcheetah-quickstart'))).filter((name) =>
    /^\d+$/.test(name),
  );
  expect(versions.sort()).toEqual(['1', '2', '3', '4']);
}, 240_000);

test('refuses a port in use before it trains', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as { port: number };
  const fresh = await mkdtemp(join(tmpdir(), 'hyperpolicy-quickstart-'));
  const result = await runCommand(['quickstart', '--port', String(port), '--metrics-port', '0'], fresh);
  expect(result.stderr).toBe(
    `hyperpolicy: quickstart: --port ${port}: expected a free port, got one that is in use, perhaps by a server that is ` +
      'running already. Stop that, or choose others: npm start -- --port 0 --metrics-port 0 takes any that are free\n',
  );
  expect(result.code).toBe(1);
  other.close();
  await rm(fresh, { recursive: true, force: true });
});
