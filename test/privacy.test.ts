/** Nothing that loads the runtime leaves a trace of it outside, whichever process or thread does. */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, onTestFinished, test } from 'vitest';
import { publishRandomPackage } from './random-package.ts';
import { testWith } from './requirements.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const command = join(root, 'dist/clients/cli/main.js');

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-privacy-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** A user who has these folders and has said nothing of telemetry. Where CI is set the runtime turns it off by itself. */
function environment(home: string): NodeJS.ProcessEnv {
  const { ORT_DISABLE_TELEMETRY: _, CI: __, ...others } = process.env;
  return { ...others, HOME: home, XDG_CACHE_HOME: join(home, 'cache'), XDG_DATA_HOME: join(home, 'data') };
}

type Run = { readonly home: string; readonly cwd: string; readonly through?: readonly string[] };

/** Runs a program to its end; a server is told to end once it serves. Gives what it wrote to standard error. */
async function run(args: readonly string[], { home, cwd, through = [] }: Run): Promise<string> {
  const [program, ...rest] = [...through, process.execPath, ...args];
  const child = spawn(program!, rest, { cwd, env: environment(home), stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  let error = '';
  child.stderr.on('data', (text) => {
    error += text;
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (/"msg":"serving"/.test(line)) process.kill((JSON.parse(line) as { pid: number }).pid, 'SIGTERM');
  });
  const [code] = (await once(child, 'close')) as [number | null];
  expect({ code, error: code === 0 ? '' : error }).toEqual({ code: 0, error: '' });
  return error;
}

const hyper = { model: 'hyper', policy: 'hyper', critic: 'plain', observationSize: 3, actionSize: 2 } as const;
const ports = ['--port', '0', '--metrics-port', '0'];

/** Every way to load the runtime: in a server with threads, in its forked processes, in the trainer and in a command. */
const programs: readonly (readonly [string, readonly string[]])[] = [
  ['a server with a worker thread', [command, 'serve', '--store', 'store', '--workers', '1', ...ports]],
  ['two processes of a server', [command, 'serve', '--store', 'store', '--workers', '1', '--processes', '2', ...ports]],
  [
    'the trainer',
    [
      command,
      ...'train td3 --trunk 8 --dynamic-hidden 8 --batch-size 8 --warm-up 20 --steps 40 --eval-every 40'.split(' '),
      ...'--eval-episodes 1 --threads 2 --run run --model trained'.split(' '),
    ],
  ],
  [
    'the thread of an environment file, which evaluates',
    [
      command,
      ...`train td3 --env ${join(root, 'test/envs/files/cart.js')} --critic mlp-small --batch-size 8`.split(' '),
      ...'--warm-up 20 --steps 40 --eval-every 20 --eval-episodes 1 --run run --publish none'.split(' '),
    ],
  ],
  [
    'a command',
    [
      command,
      ...'rollout --env Hopper-v5 --policy random --steps 2 --out hopper.gif --width 32 --height 32'.split(' '),
    ],
  ],
];

async function directories(): Promise<{ home: string; cwd: string }> {
  const [home, cwd] = [await temporaryDirectory(), await temporaryDirectory()];
  await publishRandomPackage({ store: join(cwd, 'store'), ...hyper });
  return { home, cwd };
}

describe('the telemetry of the runtime', () => {
  test('would write under the home folder where nobody turned it off', async () => {
    const home = await temporaryDirectory();
    const load = `require(${JSON.stringify(createRequire(import.meta.url).resolve('onnxruntime-node/dist/binding.js'))})
      .binding.initOrtOnce(2, function () {}, true);
      process.kill(process.pid, 'SIGKILL');`;
    const child = spawn(process.execPath, ['-e', load], { env: environment(home), stdio: 'ignore' });
    await once(child, 'close');
    expect((await readdir(home, { recursive: true })).join()).toContain('onnxruntime');
  });

  test.each(programs)('is off in %s: no file, no line', async (_, args) => {
    const { home, cwd } = await directories();
    const error = await run(args, { home, cwd });
    expect(await readdir(home, { recursive: true })).toEqual([]);
    expect(error).not.toMatch(/telemetry|device id/i);
  });

  test('says nothing where the home folder cannot be written', async () => {
    const { cwd } = await directories();
    expect(await run(programs[0]![1], { home: '/dev/null/none', cwd })).toBe('');
  });

  test('is refused in a thread whose process never turned it off', async () => {
    const native = new URL('../dist/src/onnx/native.js', import.meta.url).href;
    const worker = new Worker(`import(${JSON.stringify(native)}).then(({ nativeBinding }) => nativeBinding())`, {
      eval: true,
      env: {},
    });
    const [error] = (await once(worker, 'error')) as [Error];
    expect(error.message).toBe(
      "ONNX Runtime: expected ORT_DISABLE_TELEMETRY=1 in the process's environment, got none. " +
        'Load src/onnx/no-telemetry.ts in the main thread before a thread that runs graphs starts',
    );
  });
});

const hasStrace = (() => {
  try {
    execFileSync('strace', ['-f', '-o', '/dev/null', 'true']);
    return true;
  } catch {
    return false;
  }
})();

/** Of `connect` and the calls that send to a named address: those that leave this machine, or ask a daemon for a name. */
const isOutside = (line: string): boolean =>
  /sa_family=AF_INET6?,/.test(line)
    ? !/inet_addr\("127\.|inet_pton\(AF_INET6, "(::1|::ffff:127\.)/.test(line)
    : /nscd|resolve/.test(line);

describe('connections', () => {
  testWith(hasStrace, 'strace', 'apt-get install strace').each(programs)(
    'of %s: none goes outside, and no name is looked up',
    async (_, args) => {
      const { home, cwd } = await directories();
      const trace = join(cwd, 'trace');
      const through = ['strace', '-f', '-qq', '-e', 'trace=connect,sendto,sendmsg,sendmmsg,exit_group', '-o', trace];
      await run(args, { home, cwd, through });
      const lines = (await readFile(trace, 'utf8')).split('\n');
      expect(lines.filter((line) => line.includes('exit_group')).length).toBeGreaterThan(0);
      expect(lines.filter(isOutside)).toEqual([]);
    },
  );
});
