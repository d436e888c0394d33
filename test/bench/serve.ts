/**
 * The serving bench: the real server and a bare grpc-js echo with the same payload sizes, each in its own process, driven in turns from
 * this one with the same raw client. `mlp` is a plain policy 17-256-256-6; `hyper` a paper-size hyper policy whose context is
 * cached; the critic is a paper-size SA-Hyper twin. Parameters are random: they do not change the work.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import { publishRandomPackage } from '../../server/random-package.ts';
import {
  ActRequestSchema,
  ActResponseSchema,
  QGradRequestSchema,
  QGradResponseSchema,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { createRandom, type Random } from '../../src/spec/random.ts';
import { startEchoProcess, startServerProcess } from './serve-processes.ts';
import { median, quantile } from './statistics.ts';

const paperTrunk = [256, 512, 1024];
const observationSize = 17;
const actionSize = 6;
const rounds = 5;
const serialCalls = 1000;
const parallelCalls = 64;
const parallelMs = 1000;

/** A method under test: bytes in, bytes out. */
type Target = { readonly name: string; call(): Promise<Buffer> };

/**
 * Runs the bench and prints it.
 * @param json file for a flat object of the figures
 * @param reference a former such file, whose figures are shown beside the new ones
 */
export async function run({ json }: { json?: string; reference?: string }): Promise<void> {
  const store = await mkdtemp(join(tmpdir(), 'hyperpolicy-bench-'));
  const stops: (() => Promise<void> | void)[] = [];
  try {
    await publishRandomPackage({ store, model: 'mlp', policy: 'plain', critic: 'none', hiddenSize: 256 });
    await publishRandomPackage({
      store,
      model: 'hyper',
      policy: 'hyper',
      critic: 'hyper',
      hiddenSize: 256,
      trunkSizes: paperTrunk,
    });
    const server = await startServerProcess(store);
    stops.push(server.stop);
    const connect = (port: number) => {
      const client = rawClient(port);
      stops.push(() => client.close());
      return client;
    };
    const client = connect(server.port);
    const random = createRandom(1);
    const mlp = actTarget(client, 'mlp', random);
    const hyper = actTarget(client, 'hyper', random);
    const response = await checkedResponse(mlp);
    await checkedResponse(hyper);
    const echoServer = await startEchoProcess(response.length);
    stops.push(echoServer.stop);
    const echo = echoTarget(connect(echoServer.port), mlp.requestBytes);

    const results: Record<string, number> = { core_count: cpus().length };
    await measureUnary({ act: mlp, act_hyper: hyper, echo }, results);
    await measureQGrad(client, random, results);
    report(results);
    if (json !== undefined) await writeFile(json, `${JSON.stringify(results, null, 2)}\n`);
  } finally {
    for (const stop of stops.reverse()) await stop();
    await rm(store, { recursive: true, force: true });
  }
}

type RawClient = { call(path: string, bytes: Buffer): Promise<Buffer>; close(): void };

function rawClient(port: number): RawClient {
  const identity = (bytes: Buffer) => bytes;
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
    'grpc.enable_channelz': 0,
    'grpc.use_local_subchannel_pool': 1,
  });
  return {
    call: (path, bytes) =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(path, identity, identity, bytes, (error, response) =>
          error === null ? resolve(response!) : reject(error),
        );
      }),
    close: () => client.close(),
  };
}

const normals = (random: Random, count: number) => Float32Array.from({ length: count }, () => random.normal());

const tensor = (values: Float32Array, shape: number[]) => ({
  shape,
  data: new Uint8Array(values.buffer as ArrayBuffer),
});

function actTarget(client: RawClient, model: string, random: Random): Target & { readonly requestBytes: number } {
  const bytes = Buffer.from(
    toBinary(
      ActRequestSchema,
      create(ActRequestSchema, {
        model,
        observation: tensor(normals(random, observationSize), [1, observationSize]),
        ...(model === 'hyper' && { contextSource: { case: 'context', value: tensor(normals(random, 2), [1, 2]) } }),
        sequence: 1n,
      }),
    ),
  );
  const call = () => client.call('/hyperpolicy.v1.PolicyService/Act', bytes);
  return { name: `Act ${model}`, call, requestBytes: bytes.length };
}

function echoTarget(client: RawClient, requestBytes: number): Target {
  const bytes = Buffer.alloc(requestBytes);
  return { name: 'echo', call: () => client.call('/bench.Echo/Echo', bytes) };
}

/** One call whose answer is looked at, so that no error is measured. */
async function checkedResponse(target: Target): Promise<Buffer> {
  const bytes = await target.call();
  const { action } = fromBinary(ActResponseSchema, bytes);
  if (action?.data.length !== actionSize * 4) throw new Error(`${target.name}: expected ${actionSize} actions`);
  return bytes;
}

/** Serial latency and throughput with 64 calls in flight, in turns. */
async function measureUnary(targets: Record<string, Target>, results: Record<string, number>): Promise<void> {
  const entries = Object.entries(targets);
  const times = new Map(entries.map(([key]) => [key, [] as number[]]));
  const rates = new Map(entries.map(([key]) => [key, [] as number[]]));
  for (const [, target] of entries) await serial(target, serialCalls);
  for (let round = 0; round < rounds; round++) {
    for (const [key, target] of entries) times.get(key)!.push(...(await serial(target, serialCalls)));
    for (const [key, target] of entries) rates.get(key)!.push(await parallel(target));
  }
  for (const [key] of entries) {
    results[`${key}_unary_serial_p50_ms`] = median(times.get(key)!);
    results[`${key}_unary_serial_p99_ms`] = quantile(times.get(key)!, 0.99);
    results[`${key}_unary_serial_p999_ms`] = quantile(times.get(key)!, 0.999);
    results[`${key}_unary_c64_rps`] = median(rates.get(key)!);
  }
  for (const key of ['act', 'act_hyper']) {
    results[`${key}_unary_serial_p50_ratio`] =
      results[`${key}_unary_serial_p50_ms`]! / results.echo_unary_serial_p50_ms!;
    results[`${key}_unary_c64_throughput_ratio`] = results[`${key}_unary_c64_rps`]! / results.echo_unary_c64_rps!;
  }
}

async function serial({ call }: Target, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await call();
    times.push(performance.now() - start);
  }
  return times;
}

/** Calls per second. */
async function parallel({ call }: Target): Promise<number> {
  const start = performance.now();
  let count = 0;
  const worker = async () => {
    while (performance.now() - start < parallelMs) {
      await call();
      count++;
    }
  };
  await Promise.all(Array.from({ length: parallelCalls }, worker));
  return (1000 * count) / (performance.now() - start);
}

/** 256 unseen states, the same again, and 256 actions at one of them. */
async function measureQGrad(client: RawClient, random: Random, results: Record<string, number>): Promise<void> {
  const batch = 256;
  const request = (observation: Float32Array) =>
    Buffer.from(
      toBinary(
        QGradRequestSchema,
        create(QGradRequestSchema, {
          model: 'hyper',
          observation: tensor(observation, [observation.length / observationSize, observationSize]),
          action: tensor(normals(random, batch * actionSize), [batch, actionSize]),
        }),
      ),
    );
  const timed = async (bytes: Buffer) => {
    const start = performance.now();
    const response = await client.call('/hyperpolicy.v1.PolicyService/QGrad', bytes);
    const elapsed = performance.now() - start;
    const { dqDa } = fromBinary(QGradResponseSchema, response);
    if (dqDa?.data.length !== batch * actionSize * 4) throw new Error('QGrad: expected a gradient per row');
    return elapsed;
  };
  const unseen: number[] = [];
  const cached: number[] = [];
  const oneState: number[] = [];
  for (let round = 0; round < 10; round++) {
    const states = normals(random, batch * observationSize);
    unseen.push(await timed(request(states)));
    cached.push(await timed(request(states)));
    oneState.push(await timed(request(states.slice(0, observationSize))));
  }
  results.qgrad_b256_ms = median(unseen);
  results.qgrad_b256_cached_ms = median(cached);
  results.qgrad_one_state_b256_ms = median(oneState);
}

function report(results: Record<string, number>): void {
  const text = Object.entries(results)
    .map(([key, value]) => `${key.padEnd(36)} ${Number(value.toPrecision(4))}`)
    .join('\n');
  process.stdout.write(`${cpus()[0]?.model ?? 'unknown machine'}\n${text}\n`);
}
