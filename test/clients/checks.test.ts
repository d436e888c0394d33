/** What would end a command late is refused before its work begins. */

import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { temporaryStore } from '../server/fixtures.ts';
import { runCommand, startProcess } from './command.ts';

const folder = mkdtempSync(join(tmpdir(), 'hyperpolicy-checks-'));
const other = createServer();
let taken: string;
beforeAll(async () => {
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  taken = String((other.address() as AddressInfo).port);
});
afterAll(() => {
  other.close();
  rmSync(folder, { recursive: true });
});

async function refusal(...args: string[]): Promise<string> {
  const { code, stderr, stdout } = await runCommand(args, folder);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  return stderr.replaceAll(taken, 'TAKEN');
}

test('serve refuses a port that is taken, and one for two, before models load', async () => {
  expect(await refusal('serve', '--port', taken, '--metrics-port', '0')).toBe(
    'hyperpolicy: listening on 127.0.0.1:TAKEN: expected a free port, got one that is in use. ' +
      'Choose another port: --port N, or 0 for any that is free\n',
  );
  expect(await refusal('serve', '--port', '50051', '--http-port', '50051')).toBe(
    'hyperpolicy: serve: --http-port 50051: expected another port than that of --port, got the same. 0 takes any that is free\n',
  );
});

test('serve refuses certificates that it cannot use before models load', async () => {
  const store = await temporaryStore([{ model: 'm', policy: 'plain', critic: 'none' }]);
  const given = ['serve', '--store', store, '--port', '0', '--metrics-port', '0', '--tls-certificate', 'none.pem'];
  const both = await runCommand([...given, '--tls-key', 'none.key'], folder);
  expect(both.stderr).toContain('none.pem');
  const one = await runCommand(given, folder);
  expect(one.stderr).toBe('hyperpolicy: TLS: expected a certificate and a key, got only a part of them\n');
  for (const { code, stdout } of [both, one]) {
    expect(code).toBe(1);
    expect(stdout).not.toContain('model version ready');
  }
});

test('serve refuses a store that is a file', async () => {
  writeFileSync(join(folder, 'file'), '');
  expect(await refusal('serve', '--store', 'file', '--port', '0', '--metrics-port', '0')).toBe(
    'hyperpolicy: --store file: expected a folder, got a file\n',
  );
  expect(await refusal('serve', '--store', 'file/models', '--port', '0', '--metrics-port', '0')).toMatch(
    /^hyperpolicy: --store file\/models: expected a folder, got ENOTDIR: not a directory/,
  );
});

test('train refuses a metrics port that is taken before it begins a run', async () => {
  expect(await refusal('train', 'td3', '--metrics-port', taken, '--run', 'run')).toBe(
    'hyperpolicy: --metrics-port TAKEN: expected a port that is free at 127.0.0.1, got one that is in use. ' +
      'Choose another; 0 takes any that is free\n',
  );
  expect(existsSync(join(folder, 'run'))).toBe(false);
});

test('a bad name of a model is refused before the model is made', async () => {
  const refused = 'model name: expected';
  expect(await refusal('models', 'make-random', '--model', '../evil')).toContain(refused);
  expect(await refusal('import', 'missing.safetensors', '--model', '../evil')).toContain(refused);
});

test.skipIf(process.platform !== 'linux')(
  'a folder that cannot be made is refused before the work it is for, by every flag that names one',
  { timeout: 120_000 },
  async () => {
    writeFileSync(
      join(folder, 'sweep.json'),
      JSON.stringify({ name: 's', runs: '/proc/x/y', grid: { algorithm: ['td3'] } }),
    );
    writeFileSync(join(folder, 'network.safetensors'), '');
    const ports = ['--port', '0', '--metrics-port', '0'];
    const refusals = await Promise.all([
      refusal('train', 'td3', '--env', 'Pendulum-v1', '--store', '/proc/x/y'),
      refusal('train', 'td3', '--env', 'Pendulum-v1', '--store', 'store', '--run', '/proc/x/y'),
      refusal('quickstart', ...ports, '--runs', '/proc/x/y'),
      refusal('models', 'make-random', '--model', 'm', '--store', '/proc/x/y'),
      refusal('import', 'network.safetensors', '--model', 'm', '--store', '/proc/x/y'),
      refusal('sweep', 'sweep.json'),
      refusal('serve', ...ports, '--handle-directory', '/proc/x/y'),
    ]);
    const refused = /^hyperpolicy: (.+): expected a directory that can be written, got ENOENT: .*\n$/;
    expect(refusals.map((text) => refused.exec(text)?.[1])).toEqual([
      'store "/proc/x/y"',
      'run directory "/proc/x/y"',
      '--runs /proc/x/y',
      '--store /proc/x/y',
      '--store /proc/x/y',
      'runs /proc/x/y',
      'handles in /proc/x/y',
    ]);
  },
);

test('a sweep refuses the cells that train would, before the first begins and before a job for a cluster is printed', async () => {
  const grid = { algorithm: ['td3', 'maml'], env: ['Pendulum-v1'] };
  const settings = { steps: 10, iterations: 1 };
  writeFileSync(join(folder, 'impossible.json'), JSON.stringify({ name: 'impossible', runs: 'cells', grid, settings }));
  const text =
    'hyperpolicy: impossible.json: expected cells that can be trained, got 1 of 2 that cannot. ' +
    'Cells 1 (algorithm: maml, env: Pendulum-v1): train maml: expected an environment with tasks, such as HalfCheetah-Vel, ' +
    'got "Pendulum-v1", which has one task only. Combinations that do not go together need sweeps of their own\n';
  for (const printed of [[], ['--print', 'slurm'], ['--print', 'kubernetes']]) {
    expect(await refusal('sweep', 'impossible.json', ...printed)).toBe(text);
  }
  expect(existsSync(join(folder, 'cells'))).toBe(false);
});

test('what a sweep prints is of the cell that is asked for, with the threads that a run has here', async () => {
  const grid = { algorithm: ['td3'], env: ['Pendulum-v1'], seed: [5, 6] };
  writeFileSync(join(folder, 'printed.json'), JSON.stringify({ name: 'printed', grid }));
  const printed = async (...more: string[]) =>
    (await runCommand(['sweep', 'printed.json', '--print', ...more], folder)).stdout;
  const line = (seed: number, threads: number) =>
    `hyperpolicy train td3 --env Pendulum-v1 --seed ${seed} --threads ${threads} --run runs/printed/td3-pendulum-v1-seed${seed} --publish none\n`;
  expect(await printed('cells')).toBe(line(5, 1) + line(6, 1));
  const coreCount = availableParallelism();
  expect(await printed('cells', '--cell', '1', '--processes', '1')).toBe(line(6, coreCount));
  expect(await printed('cells', '--cell', '1', '--processes', '1', '--threads', '7')).toBe(line(6, 7));
  expect(await printed('slurm')).toMatch(/--array=0-1\n[\s\S]*--cpus-per-task=2\n[\s\S]* --threads 2\n$/);
  expect(await printed('slurm', '--processes', '1')).toContain('--array=0-1%1\n');
  for (const other of ['summary', 'slurm', 'kubernetes']) {
    expect(await refusal('sweep', 'printed.json', '--print', other, '--cell', '1')).toBe(
      `hyperpolicy: --cell: expected --print cells, or no --print, got --print ${other}. The others are of all cells\n`,
    );
  }
  writeFileSync(join(folder, 'threaded.json'), JSON.stringify({ name: 'printed', grid, settings: { threads: 1 } }));
  expect(await refusal('sweep', 'threaded.json', '--print', 'cells', '--threads', '8')).toBe(
    'hyperpolicy: --threads: expected a file without threads, or no --threads, got 8, and threads in threaded.json. Change them in the file\n',
  );
});

test('--set names a setting that has no flag, and takes what the config takes', async () => {
  const set = (text: string) => ['train', 'td3', '--set', text];
  const { stdout } = await runCommand([...set('algorithm.critic.headRank=16'), '--print-config'], folder);
  expect((JSON.parse(stdout) as { algorithm: { critic: object } }).algorithm.critic).toMatchObject({
    architecture: 'sa-hyper',
    headRank: 16,
  });
  const refused = async (text: string) => {
    const { code, stderr } = await runCommand(set(text), folder);
    expect(code).toBe(2);
    return stderr.replace(`hyperpolicy: option '--set <name=value>' argument '${text}' is invalid. Expected `, '');
  };
  expect(await refused('algorithm.critic.headRank=0')).toBe('an integer from 1 to 2147483647. See --help\n');
  expect(await refused('algorithm.critic.headRnk=1')).toBe(
    'NAME=VALUE of a setting that has no flag. Did you mean algorithm.critic.headRank=...?\n',
  );
  expect(await refused('algorithm.batchSize=64')).toBe(
    'NAME=VALUE of a setting that has no flag. Did you mean --batch-size?\n',
  );
  for (const name of ['gamma', 'algorithm.gama', 'critic.gamma']) {
    expect(await refused(`${name}=0.9`)).toBe('NAME=VALUE of a setting that has no flag. Did you mean --gamma?\n');
  }
  expect(await refused('headRank=1')).toBe(
    'NAME=VALUE of a setting that has no flag. Did you mean algorithm.critic.headRank=...?\n',
  );
  expect(await refused('colour=red')).toBe('NAME=VALUE of a setting that has no flag. See --help\n');
  expect(await refused('algorithm.critic.headRank')).toBe(
    'NAME=VALUE of a setting that has no flag. Did you mean algorithm.critic.headRank=...?\n',
  );
});

test('a file that cannot be written is refused where its folder seems to allow it', async () => {
  expect(await refusal('plot', 'run', '--out', '/proc/x.svg')).toContain(
    '--out /proc/x.svg: expected a file that can be written, got ',
  );
});

test('quickstart refuses a log of the server that cannot be written, before it trains', async () => {
  mkdirSync(join(folder, 'logged/server.log'), { recursive: true });
  expect(await refusal('quickstart', '--port', '0', '--metrics-port', '0', '--runs', 'logged')).toBe(
    "hyperpolicy: the server's log logged/server.log: expected a file that can be written, got a folder\n",
  );
});

test('a folder that is missing is refused before the episode', async () => {
  const message = await refusal('rollout', '--env', 'Ant-v5', '--out', 'nowhere/a.gif');
  expect(message).toBe(
    `hyperpolicy: --out nowhere/a.gif: expected a folder at ${join(realpathSync(folder), 'nowhere')}, got none\n`,
  );
});

test('a config that is missing is told with the place where it was looked for', async () => {
  const none = `hyperpolicy: nope.yaml: expected a file at ${join(realpathSync(folder), 'nope.yaml')}, got none\n`;
  expect(await refusal('train', 'td3', '--config', 'nope.yaml')).toBe(none);
  expect(await refusal('sweep', 'nope.yaml')).toBe(none);
});

test('an output that takes nothing, as on a full disk, is one line and a failure', async () => {
  const command = resolve('clients/cli/hyperpolicy.mjs');
  const shell = ['-c', 'exec "$0" "$1" environments > /dev/full', process.execPath, command];
  expect(await startProcess('sh', shell, { cwd: folder }).finished).toEqual({
    code: 1,
    stdout: '',
    stderr:
      'hyperpolicy: standard output: expected one that takes what is printed, got ENOSPC: no space left on device, write\n',
  });
});
