/** The C++ example builds with Debian's gRPC packages, and its loop goes to the safe action when the server is killed. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import { expect, onTestFinished } from 'vitest';
import {
  ActResponseSchema,
  ActStreamRequestSchema,
  ActStreamResponseSchema,
  GetModelResponseSchema,
} from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { TensorSchema } from '../../../src/gen/hyperpolicy/v1/tensor_pb.ts';
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

const size = { observationSize: 3, actionSize: 2, hiddenSize: 8 };
const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

/** A server of a model with two actions, whose every answer on a stream is this one. */
async function serveAnswers(
  action: MessageInitShape<typeof TensorSchema> | undefined,
  { version = 1, safeAction = [0, 0] } = {},
): Promise<string> {
  const spec = (names: string[]) => ({ names, low: names.map(() => -1), high: names.map(() => 1) });
  const server = new grpc.Server();
  const method = (path: string, requestStream: boolean) => ({
    path: `/hyperpolicy.v1.PolicyService/${path}`,
    requestStream,
    responseStream: requestStream,
    requestSerialize: (bytes: Buffer) => bytes,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
  });
  server.addService(
    { getModel: method('GetModel', false), actStream: method('ActStream', true) },
    {
      getModel(_: unknown, answer: grpc.sendUnaryData<Buffer>) {
        const about = { version, observation: spec(['a', 'b', 'c']), action: spec(['x', 'y']), safeAction };
        answer(null, Buffer.from(toBinary(GetModelResponseSchema, create(GetModelResponseSchema, about))));
      },
      actStream(duplex: grpc.ServerDuplexStream<Buffer, Buffer>) {
        duplex.on('data', (bytes: Buffer) => {
          const { sequence } = fromBinary(ActStreamRequestSchema, bytes).act!;
          const value = create(ActResponseSchema, { version, sequence, ...(action && { action }) });
          const answer = create(ActStreamResponseSchema, { result: { case: 'response', value } });
          duplex.write(Buffer.from(toBinary(ActStreamResponseSchema, answer)));
        });
        duplex.on('end', () => duplex.end());
      },
    },
  );
  onTestFinished(() => server.forceShutdown());
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return `127.0.0.1:${port}`;
}

async function refusesWhatDoesNotAddUp(robot: string): Promise<void> {
  const log = `${robot}.jsonl`;
  const run = async (address: string) => {
    const loop = spawn(robot, [address, 'm', '10', '20', log], { stdio: ['ignore', 'pipe', 'pipe'] });
    const [output, error] = [text(loop.stdout), text(loop.stderr)];
    const [code] = await once(loop, 'exit');
    const lines = code === 0 ? (await readFile(log, 'utf8')).trim().split('\n') : [];
    const cycles = lines.map((line) => JSON.parse(line) as { readonly problem: string | null; readonly mode: string });
    return { code, last: (await output).trim().split('\n').at(-1)!, error: await error, cycles };
  };
  for (const action of [
    undefined,
    { shape: [1, 2], data: floats(1) },
    { shape: [1, 3], data: floats(1, 2, 3) },
    { shape: [1, 2], data: floats(1, Number.NaN) },
    { shape: [1, 2], data: floats(1, Number.POSITIVE_INFINITY) },
  ]) {
    const { code, last, cycles } = await run(await serveAnswers(action));
    expect(cycles).toHaveLength(20);
    expect(cycles.map(({ problem }) => problem)).toContain('failed_precondition');
    expect([code, JSON.parse(last)]).toMatchObject([0, { cycles: 20, fresh: 0, hold: 0, safe: 20 }]);
    expect(JSON.parse(last).unusable).toBeGreaterThan(0);
  }
  const good = JSON.parse((await run(await serveAnswers({ shape: [1, 2], data: floats(1, 2) }))).last);
  expect(good).toMatchObject({ cycles: 20, unusable: 0 });
  for (const about of [{ version: 0 }, { safeAction: [0] }, { safeAction: [0, Number.NaN] }]) {
    const { code, error } = await run(await serveAnswers(undefined, about));
    expect([code, error]).toEqual([1, expect.stringContaining('got one that is not whole')]);
  }
}

/** A host that takes connections and says nothing, as a frozen one. The question for the model would wait for five seconds, and end as late. */
async function givesUpATryToConnect(robot: string): Promise<void> {
  const silent = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void silent.close());
  await once(silent, 'listening');
  const loop = spawn(robot, [`127.0.0.1:${(silent.address() as AddressInfo).port}`, 'm'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const said = text(loop.stderr);
  const [code] = await once(loop, 'exit');
  expect([code, await said]).toEqual([1, expect.stringContaining('failed to connect')]);
}

cppTest(
  'builds, acts on what adds up only, past a proxy, and goes to the safe action without a server',
  { timeout: 400_000 },
  async () => {
    const build = await mkdtemp(join(tmpdir(), 'hyperpolicy-cpp-'));
    onTestFinished(() => rm(build, { recursive: true, force: true }));
    const directory = fileURLToPath(new URL('../../../clients/robot/cpp/', import.meta.url));
    const make = spawn('make', ['-C', directory, `BUILD=${build}`, 'CXXFLAGS=-O0 -Wall -Wextra'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    expect(await once(make, 'exit')).toEqual([0, null]);

    await refusesWhatDoesNotAddUp(join(build, 'robot'));
    await givesUpATryToConnect(join(build, 'robot'));

    const store = await temporaryStore([{ model: 'm', policy: 'plain', critic: 'none', ...size }]);
    const { address, child: server } = await spawnServer(['--store', store]);
    // Nobody is there, and the loop does not look.
    const env = { ...process.env, http_proxy: 'http://127.0.0.1:9', no_proxy: '', no_grpc_proxy: '' };
    const loop = spawn(join(build, 'robot'), [address, 'm', '10'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
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
  },
);
