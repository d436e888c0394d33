/** Every command and the program of the README run as written; only ports and the length of the first training differ. */

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Running, runCommand, startCommand } from './clients/command.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const readme = await readFile(join(root, 'README.md'), 'utf8');

/** The fenced blocks of a language. */
const blocks = (language: string): string[] =>
  [...readme.matchAll(/```(\w+)\n([\s\S]*?)```/g)].flatMap(([, found, text]) => (found === language ? [text!] : []));

const lines = blocks('sh').flatMap((block) => block.trim().split('\n'));
const commands = lines.filter((line) => line.startsWith('npx hyperpolicy '));
const directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-readme-'));

let quickstart: Running;
let address: string;
let metrics: string;
let http: string;

beforeAll(async () => {
  // `npm start` is `npm run build` and this; the build is done.
  const ports = ['--port', '0', '--metrics-port', '0', '--http-port', '0'];
  quickstart = startCommand(['quickstart', '--steps', '1200', ...ports], directory);
  let output = '';
  quickstart.process.stdout!.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  await quickstart.until(/Try: npx/);
  [, http] = /JSON over HTTP: (\S+)/.exec(output) as unknown as [string, string];
  [, address, metrics] = /gRPC (\S+) +metrics (\S+)/.exec(output) as unknown as [string, string, string];
});

afterAll(async () => {
  quickstart.process.kill('SIGTERM');
  await quickstart.finished;
  await rm(directory, { recursive: true, force: true });
});

/** The arguments of a line, sent to the server that the test started. */
function argumentsOf(line: string): string[] {
  const args = line
    .split(' ')
    .slice(2)
    .filter((arg) => arg !== '');
  const asks = ['models list', 'models show', 'eval', 'act', 'qgrad'].some((name) => args.join(' ').startsWith(name));
  const at = args.indexOf('--server');
  return asks ? [...(at < 0 ? args : args.toSpliced(at, 2)), '--server', address] : args;
}

/** A model that was published just now is served once the server has seen and loaded it. */
async function untilServed(model: string): Promise<void> {
  for (;;) {
    const { stdout } = await runCommand(['models', 'list', '--server', address], directory);
    if (stdout.includes(`"model":"${model}"`)) return;
  }
}

test('names the two commands on its first screen', () => {
  expect(lines[0]).toBe('npm ci && npm start');
  expect(lines[1]).toBe('npm ci && npm test');
  expect(readme.split('\n').indexOf('npm ci && npm test')).toBeLessThan(40);
});

describe('a command of the README', () => {
  test.each(commands.filter((line) => !line.includes(' serve ')))(
    '%s',
    async (line) => {
      const args = argumentsOf(line);
      if (args[0] === 'eval') await untilServed(args[args.indexOf('--model') + 1]!);
      const { code, stdout, stderr } = await runCommand(args, directory);
      expect(stderr).not.toContain('hyperpolicy:');
      expect(code).toBe(0);
      expect(stdout).not.toBe('');
      // Long for a busy machine, where the spinning threads of a training run take turns with the rest.
    },
    300_000,
  );

  test('serve', async () => {
    const args = argumentsOf(commands.find((line) => line.includes(' serve '))!);
    const running = startCommand(
      args.map((arg) => (/^50052$|^9466$/.test(arg) ? '0' : arg)),
      directory,
    );
    await running.until(/"serving"/);
    running.process.kill('SIGTERM');
    expect((await running.finished).code).toBe(0);
  });

  test('curl of the metrics', async () => {
    expect(lines.some((line) => line.startsWith('curl -s http://127.0.0.1:9464/metrics'))).toBe(true);
    const response = await fetch(metrics);
    expect(response.status).toBe(200);
    expect(await response.text()).toContain('grpc_server_handled_total');
  });

  test('curl over HTTP', async () => {
    const line = lines.find((one) => one.startsWith('curl -s http://127.0.0.1:8080'))!;
    const [, path, type, body] = /8080(\S+) -H 'content-type: (\S+)' -d (.*)$/.exec(line)!;
    const { stdout } = await promisify(execFile)('sh', ['-c', `printf %s ${body}`]);
    const response = await fetch(`${http}${path}`, {
      method: 'POST',
      headers: { 'content-type': type! },
      body: stdout,
    });
    expect(await response.json()).toMatchObject({ action: { shape: [1, 6] }, version: 1 });
  });

  test('every other line is one of the two npm commands or the curl', () => {
    const others = lines.filter((line) => !commands.includes(line) && !line.startsWith('curl '));
    expect(others.filter((line) => !line.startsWith('npm '))).toEqual([]);
  });
});

test('the TypeScript program runs', async () => {
  const program = blocks('ts')[0]!.replace('127.0.0.1:50051', address);
  // Inside the package, so that its name resolves; the program has no syntax that JavaScript lacks.
  const file = join(root, 'dist', `readme-program-${process.pid}.mjs`);
  await writeFile(file, `${program}\nconsole.log(action.shape.join(), dqDa.shape.join(), q.shape.join(), version);\n`);
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [file]);
    expect(stdout).toMatch(/^version 1: action .*\n1,6 1,6 1 1\n$/);
  } finally {
    await rm(file);
  }
});
