/** The package that `npm pack` makes, installed in an empty folder: its command, its programs and its types. */

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { startCommand } from './clients/command.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'hyperpolicy-installed-'));
const installed = join(folder, 'node_modules/hyperpolicy');
const command = join(folder, 'node_modules/.bin/hyperpolicy');

type Packed = { readonly filename: string; readonly size: number; readonly files: readonly { path: string }[] };
let packed: Packed;

beforeAll(async () => {
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root });
  [packed] = JSON.parse(stdout) as [Packed];
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  const flags = ['--ignore-scripts', '--prefer-offline', '--omit=optional', '--no-audit', '--no-fund'];
  await run('npm', ['install', ...flags, join(folder, packed.filename)], { cwd: folder });
}, 300_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

test('holds the compiled code and what documents it, and nothing of a user', async () => {
  const folders = new Set(packed.files.map(({ path }) => path.split('/').slice(0, 2).join('/')));
  expect([...folders].filter((path) => !path.startsWith('dist/')).sort()).toMatchInlineSnapshot(`
    [
      "LICENSE",
      "README.md",
      "clients/cli",
      "clients/robot",
      "clients/typescript",
      "deploy/cuda",
      "deploy/tensorflow",
      "package.json",
      "proto/grpc",
      "proto/hyperpolicy",
      "proto/inference",
      "server/README.md",
      "src/envs",
      "src/nn",
      "src/onnx",
      "src/optim",
      "src/trace",
      "trainer/README.md",
      "trainer/algorithms",
      "trainer/analysis",
      "trainer/run",
    ]
  `);
  expect(packed.files.filter(({ path }) => /\.hyperpolicy|runs\/|\.onnx$|\.map$|^dist\/test/.test(path))).toEqual([]);
  expect(packed.size).toBeLessThan(4e6);
});

test('makes, serves and answers with a model, by the first program of the README', async () => {
  const sizes = ['--environment', 'HalfCheetah-v5', '--trunk', '8', '--hidden', '8'];
  await run(command, ['models', 'make-random', '--model', 'halfcheetah-quickstart', '--policy', 'plain', ...sizes], {
    cwd: folder,
  });
  const main = join(installed, 'dist/clients/cli/main.js');
  const server = startCommand(['serve', '--port', '0', '--metrics-port', '0'], folder, main);
  onTestFinished(async () => {
    server.process.kill('SIGTERM');
    await server.finished;
  });
  let log = '';
  server.process.stdout!.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  await server.until(/"msg":"serving"/);
  const [, address] = /"address":"([^"]+)"/.exec(log)!;
  const [, program] = /```ts\n([\s\S]*?)```/.exec(await readFile(join(installed, 'README.md'), 'utf8'))!;
  await writeFile(join(folder, 'try.mjs'), program!.replace('127.0.0.1:50051', address!));
  const { stdout } = await run(process.execPath, ['try.mjs'], { cwd: folder });
  expect(stdout).toMatch(/^version 1: action /);
});

test('trains, with progress and a package at the end', async () => {
  const sizes = '--critic mlp-standard --batch-size 8 --warm-up 20 --steps 40 --eval-every 40 --eval-episodes 1';
  const args = ['train', 'td3', '--env', 'Pendulum-v1', '--threads', '1', ...sizes.split(' '), '--model', 'pendulum'];
  const { stdout } = await run(command, args, { cwd: folder });
  expect(JSON.parse(stdout)).toMatchObject({ step: 40, model: 'pendulum', version: 1 });
  expect(await readdir(join(folder, '.hyperpolicy/store/pendulum/1'))).toContain('policy.onnx');
});

test('has the installers that its errors name, and they find the project', async () => {
  const told = (file: string, args: readonly string[], options: object): Promise<string> =>
    run(file, args, options).then(
      () => expect.unreachable(),
      ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr,
    );
  const train = ['train', 'td3', '--env', 'Pendulum-v1', '--critic', 'mlp-small', '--model', 'none'];
  const named = async (flag: string, value: string) =>
    /\S+\.sh/.exec(await told(command, [...train, flag, value], { cwd: folder }))?.[0];
  const scripts = [await named('--device', 'cuda'), await named('--engine', 'tensorflow')];
  const inProject = 'node_modules/hyperpolicy/deploy';
  expect(scripts).toEqual([`${inProject}/cuda/install.sh`, `${inProject}/tensorflow/install.sh`]);
  // In place of downloads: says what would be fetched, and where to.
  const tools = join(folder, 'tools');
  await mkdir(tools);
  for (const tool of ['npm', 'python3', 'g++']) {
    await writeFile(join(tools, tool), '#!/bin/sh\necho "$(basename "$0") in $PWD: $*"\nexit 1\n', { mode: 0o755 });
  }
  const env = { ...process.env, PATH: `${tools}:${process.env.PATH}` };
  const fetched = await Promise.all(scripts.map((script) => told(join(folder, script!), [], { cwd: tmpdir(), env })));
  expect(fetched).toEqual([
    expect.stringMatching(new RegExp(`^python3 in ${folder}: -m pip download .* onnxruntime-gpu==1\\.`)),
    expect.stringMatching(new RegExp(`^npm in ${folder}: install --no-save .* @tensorflow/tfjs-node@`)),
  ]);
});

const program = `
import { createPolicyClient, HyperpolicyError, type Tensor } from 'hyperpolicy/client';
import { createEnv, createEnvironment, environmentNames, type Env, type Task } from 'hyperpolicy/environments';
import { algorithmNames, type TrainOptions, train } from 'hyperpolicy/training';

const env: Env = await createEnvironment('HalfCheetah-v5');
const { observation } = env.reset(0);
const { reward } = env.step(new Float64Array(6));
console.log(environmentNames.length > 20, observation.length, Number.isFinite(reward), typeof createEnv);
env.dispose();
const client = createPolicyClient({ address: '127.0.0.1:1', timeoutMs: 200 });
try {
  const action: Tensor = (await client.act({ model: 'none', observation: new Float32Array(17) })).action;
  console.log(action);
} catch (error) {
  console.log(error instanceof HyperpolicyError && error.kind);
}
client.close();
const settings = { stepCount: 20, warmUpStepCount: 10, evaluationInterval: 20, evaluationEpisodeCount: 1 };
const options: TrainOptions = {
  config: { environment: 'Pendulum-v1', threadCount: 1, algorithm: { name: 'td3', critic: { architecture: 'mlp-small' } }, loop: settings },
  runDirectory: 'run',
  stream: process.stderr,
};
console.log(algorithmNames.join(' '), (await train(options)).run.step);
// @ts-expect-error: no such option.
export const misspelt = () => createPolicyClient({ adress: '' });
export type Mine = Task;
`;

test('gives programs its environments and its training, and compilers their types', async () => {
  await writeFile(join(folder, 'program.ts'), program);
  const tsc = join(root, 'node_modules/.bin/tsc');
  const options = '--module nodenext --target es2023 --strict --types node --outDir out'.split(' ');
  await run(tsc, ['program.ts', ...options], { cwd: folder });
  const { stdout } = await run(process.execPath, ['out/program.js'], { cwd: folder });
  expect(stdout).toBe('true 17 true function\nunavailable\nmaml pearl sac td3 20\n');
});
