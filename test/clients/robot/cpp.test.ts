/** The C++ example builds with Debian's gRPC packages, and its loop goes to the safe action when the server is killed. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import { testWith } from '../../requirements.ts';
import { temporaryStore } from '../../server/fixtures.ts';
import { spawnServer } from '../../server/spawn.ts';

const has = (program: string, ...args: string[]): boolean => spawnSync(program, args).status === 0;

const cppTest = testWith(
  has('g++', '--version') &&
    has('make', '--version') &&
    has('pkg-config', '--exists', 'grpc++', 'protobuf') &&
    has('sh', '-c', 'command -v protoc grpc_cpp_plugin'),
  'C++ with gRPC',
  'apt-get install g++ make pkg-config libgrpc++-dev libprotobuf-dev protobuf-compiler-grpc',
);

cppTest('builds, acts, and goes to the safe action without a server', { timeout: 400_000 }, async () => {
  const build = await mkdtemp(join(tmpdir(), 'hyperpolicy-cpp-'));
  onTestFinished(() => rm(build, { recursive: true, force: true }));
  const directory = fileURLToPath(new URL('../../../clients/robot/cpp/', import.meta.url));
  const make = spawn('make', ['-C', directory, `BUILD=${build}`, 'CXXFLAGS=-O0 -Wall -Wextra'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  expect(await once(make, 'exit')).toEqual([0, null]);

  const size = { observationSize: 3, actionSize: 2, hiddenSize: 8 };
  const store = await temporaryStore([{ model: 'm', policy: 'plain', critic: 'none', ...size }]);
  const { address, child: server } = await spawnServer(['--store', store]);
  const loop = spawn(join(build, 'robot'), [address, 'm', '10'], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void loop.kill('SIGKILL'));
  const lines = createInterface({ input: loop.stdout })[Symbol.asyncIterator]();
  const modes: string[] = [];
  const reach = async (mode: string) => {
    while (modes.at(-1) !== mode) {
      const { value, done } = await lines.next();
      if (done) throw new Error(`expected ${mode}, got the end after ${modes.join(', ')}`);
      modes.push((JSON.parse(value) as { mode: string }).mode);
    }
  };
  await reach('fresh');
  server.kill('SIGKILL');
  await reach('ramp');
  await reach('safe');
  loop.kill('SIGTERM');
  const { value } = await lines.next();
  const summary = JSON.parse(value!) as Record<'cycles' | 'fresh' | 'hold' | 'ramp' | 'safe', number>;
  expect(summary.fresh).toBeGreaterThan(0);
  expect(summary.fresh + summary.hold + summary.ramp + summary.safe).toBe(summary.cycles);
});
