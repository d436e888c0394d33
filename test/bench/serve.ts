/**
 * The serving bench: the real server and a bare grpc-js echo with the same payload sizes, each in its own process, driven in turns from
 * this one with the same raw client. `mlp` is a plain policy 17-256-256-6; `hyper` a paper-size hyper policy whose context is
 * cached; the critic is a paper-size SA-Hyper twin. Parameters are random: they do not change the work.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { publishRandomPackage } from '../../server/random-package.ts';
import {
  ActResponseSchema,
  ActStreamResponseSchema,
  QGradResponseSchema,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { createRandom } from '../../src/spec/random.ts';
import { startEchoProcess, startServerProcess } from './serve-processes.ts';
import {
  actBytes,
  actionSize,
  actStreamBytes,
  type Call,
  contextSize,
  normals,
  observationSize,
  paths,
  qGradBytes,
  type RawClient,
  type RawStream,
  rawClient,
} from './serve-targets.ts';
import { median, quantile } from './statistics.ts';

const rounds = 5;
const serialCalls = 1000;
const parallelCalls = 64;
const parallelMs = 1000;
const pipelinedMessages = 20_000;
const pipelineWindow = 256;

type Results = Record<string, number>;

/**
 * Runs the bench and prints it.
 * @param json file for a flat object of the figures
 */
export async function run({ json }: { readonly json?: string | undefined }): Promise<void> {
  const store = await mkdtemp(join(tmpdir(), 'hyperpolicy-bench-'));
  const stops: (() => Promise<void> | void)[] = [];
  try {
    await publish(store, 'mlp');
    await publish(store, 'hyper');
    const server = await startServerProcess(store, ['--watch-ms', '200']);
    stops.push(server.stop);
    const client = rawClient(server.port);
    stops.push(client.close);
    const context = normals(createRandom(2), contextSize);
    const requests = { act: actBytes('mlp'), act_hyper: actBytes('hyper', context) };
    const response = await checkedAct(() => client.call(paths.act, requests.act));
    await checkedAct(() => client.call(paths.act, requests.act_hyper));

    const streams = {
      act: client.stream(paths.actStream, actStreamBytes('mlp')),
      act_hyper: client.stream(paths.actStream, actStreamBytes('hyper', context)),
    };
    const streamResponse = await checkedStream(streams.act);
    await checkedStream(streams.act_hyper);
    const echoServer = await startEchoProcess([response.length, streamResponse.length]);
    stops.push(echoServer.stop);
    const echoClient = rawClient(echoServer.port);
    stops.push(echoClient.close);
    const echoBytes = Buffer.alloc(requests.act.length);
    const echoStream = echoClient.stream(paths.echoStream, Buffer.alloc(actStreamBytes('mlp').length));

    const results: Results = { core_count: cpus().length };
    await measureUnary(
      {
        act: () => client.call(paths.act, requests.act),
        act_hyper: () => client.call(paths.act, requests.act_hyper),
        echo: () => echoClient.call(paths.echo, echoBytes),
      },
      results,
    );
    await measureStreams({ ...streams, echo: echoStream }, results);
    for (const stream of [...Object.values(streams), echoStream]) stream.close();
    await measureContexts(client, results);
    await measureQGrad(client, results);
    await measureReload(client, requests.act_hyper, () => publish(store, 'hyper'), results);
    report(results);
    if (json !== undefined) await writeFile(json, `${JSON.stringify(results, null, 2)}\n`);
  } finally {
    for (const stop of stops.reverse()) await stop();
    await rm(store, { recursive: true, force: true });
  }
}

const publish = (store: string, model: 'mlp' | 'hyper') =>
  publishRandomPackage(
    model === 'mlp'
      ? { store, model, policy: 'plain', critic: 'none', hiddenSize: 256 }
      : { store, model, policy: 'hyper', critic: 'hyper', hiddenSize: 256, trunkSizes: [256, 512, 1024] },
  );

/** One call whose answer is looked at, so that no error is measured. */
async function checkedAct(call: Call): Promise<Buffer> {
  const bytes = await call();
  if (fromBinary(ActResponseSchema, bytes).action?.data.length !== actionSize * 4) throw new Error('Act: no action');
  return bytes;
}

async function checkedStream({ call }: RawStream): Promise<Buffer> {
  const bytes = await call();
  if (fromBinary(ActStreamResponseSchema, bytes).result.case !== 'response') throw new Error('ActStream: no action');
  return bytes;
}

/** Serial latency and throughput with 64 calls in flight, in turns. */
async function measureUnary(calls: Record<string, Call>, results: Results): Promise<void> {
  const entries = Object.entries(calls);
  const times = samplesOf(calls);
  const rates = samplesOf(calls);
  for (const [, call] of entries) await serial(call, serialCalls);
  for (let round = 0; round < rounds; round++) {
    for (const [key, call] of entries) times[key]!.push(...(await serial(call, serialCalls)));
    for (const [key, call] of entries) rates[key]!.push(await parallel(call));
  }
  for (const [key] of entries) {
    results[`${key}_unary_serial_p50_ms`] = median(times[key]!);
    results[`${key}_unary_serial_p99_ms`] = quantile(times[key]!, 0.99);
    results[`${key}_unary_serial_p999_ms`] = quantile(times[key]!, 0.999);
    results[`${key}_unary_c64_rps`] = median(rates[key]!);
  }
  for (const key of ['act', 'act_hyper']) {
    results[`${key}_unary_serial_p50_ratio`] = ratio(results, `${key}_unary_serial_p50_ms`, 'echo_unary_serial_p50_ms');
    results[`${key}_unary_c64_throughput_ratio`] = ratio(results, `${key}_unary_c64_rps`, 'echo_unary_c64_rps');
  }
}

/** Round trips over a stream one by one, and messages per second with many under way. */
async function measureStreams(streams: Record<string, RawStream>, results: Results): Promise<void> {
  const entries = Object.entries(streams);
  const times = samplesOf(streams);
  const rates = samplesOf(streams);
  for (const [, stream] of entries) await stream.pipeline(pipelinedMessages, pipelineWindow);
  for (let round = 0; round < rounds; round++) {
    for (const [key, { call }] of entries) times[key]!.push(...(await serial(call, serialCalls)));
    for (const [key, stream] of entries) {
      const start = performance.now();
      await stream.pipeline(pipelinedMessages, pipelineWindow);
      rates[key]!.push((1000 * pipelinedMessages) / (performance.now() - start));
    }
  }
  for (const [key] of entries) {
    results[`${key}_stream_serial_p50_ms`] = median(times[key]!);
    results[`${key}_stream_serial_p99_ms`] = quantile(times[key]!, 0.99);
    results[`${key}_stream_pipelined_msgs_per_s`] = median(rates[key]!);
  }
  for (const key of ['act', 'act_hyper']) {
    results[`${key}_stream_serial_p50_ratio`] = ratio(
      results,
      `${key}_stream_serial_p50_ms`,
      'echo_stream_serial_p50_ms',
    );
    results[`${key}_stream_pipelined_ratio`] = ratio(
      results,
      `${key}_stream_pipelined_msgs_per_s`,
      'echo_stream_pipelined_msgs_per_s',
    );
  }
}

/** New contexts, known ones, and a thousand of which some are frequent. */
async function measureContexts(client: RawClient, results: Results): Promise<void> {
  const random = createRandom(3);
  const ask = (context: Float32Array) => client.call(paths.act, actBytes('hyper', context));
  const cold: number[] = [];
  const warm: number[] = [];
  const server = { cold: [] as number[], warm: [] as number[] };
  const timed = async (context: Float32Array, wall: number[], compute: number[]) => {
    const start = performance.now();
    const { timing } = fromBinary(ActResponseSchema, await ask(context));
    wall.push(performance.now() - start);
    compute.push((timing!.primaryUs + timing!.networkUs) / 1000);
  };
  for (let i = 0; i < 200; i++) {
    const context = normals(random, contextSize);
    await timed(context, cold, server.cold);
    await timed(context, warm, server.warm);
  }
  results.act_cold_context_ms = median(cold);
  results.act_warm_context_ms = median(warm);
  results.act_cold_compute_ms = median(server.cold);
  results.act_warm_compute_ms = median(server.warm);

  results.act_cold_rows_per_s = await parallel(() => ask(normals(random, contextSize)));

  const contexts = Array.from({ length: 1000 }, () => normals(random, contextSize));
  // Zipf with exponent 1: rank r is as frequent as 1/r.
  const weights = contexts.map((_, rank) => 1 / (rank + 1));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let hitCount = 0;
  let callCount = 0;
  results.act_contexts_1000_zipf_rps = await parallel(async () => {
    let left = random.uniform() * total;
    const rank = weights.findIndex((weight) => {
      left -= weight;
      return left <= 0;
    });
    const answer = await ask(contexts[Math.max(0, rank)]!);
    callCount++;
    if (fromBinary(ActResponseSchema, answer).timing!.primaryUs === 0) hitCount++;
    return answer;
  });
  results.act_contexts_1000_zipf_hit_ratio = hitCount / callCount;
}

/** 256 unseen states, the same again, and 256 actions at one of them. */
async function measureQGrad(client: RawClient, results: Results): Promise<void> {
  const batch = 256;
  const random = createRandom(4);
  const timed = async (observations: Float32Array) => {
    const bytes = qGradBytes(observations, normals(random, batch * actionSize));
    const start = performance.now();
    const response = await client.call(paths.qGrad, bytes);
    const elapsed = performance.now() - start;
    if (fromBinary(QGradResponseSchema, response).dqDa?.data.length !== batch * actionSize * 4) {
      throw new Error('QGrad: expected a gradient per row');
    }
    return elapsed;
  };
  const times = samplesOf({ unseen: 0, cached: 0, oneState: 0 });
  for (let round = 0; round < 10; round++) {
    const states = normals(random, batch * observationSize);
    times.unseen!.push(await timed(states));
    times.cached!.push(await timed(states));
    times.oneState!.push(await timed(states.subarray(0, observationSize)));
  }
  results.qgrad_b256_ms = median(times.unseen!);
  results.qgrad_b256_cached_ms = median(times.cached!);
  results.qgrad_one_state_b256_ms = median(times.oneState!);
}

/** Latency while a new version of the model is loaded and swapped in, against before. */
async function measureReload(
  client: RawClient,
  bytes: Buffer,
  swap: () => Promise<unknown>,
  results: Results,
): Promise<void> {
  const call = () => client.call(paths.act, bytes);
  const before = await serial(call, 2 * serialCalls);
  const first = fromBinary(ActResponseSchema, await call()).version;
  await swap();
  const during: number[] = [];
  for (let swapped = false; !swapped; ) {
    during.push(...(await serial(call, 100)));
    swapped = fromBinary(ActResponseSchema, await call()).version !== first;
  }
  during.push(...(await serial(call, 500)));
  results.reload_p99_before_ms = quantile(before, 0.99);
  results.reload_p99_ms = quantile(during, 0.99);
  results.reload_p99_ratio = ratio(results, 'reload_p99_ms', 'reload_p99_before_ms');
}

const samplesOf = (keys: object): Record<string, number[]> =>
  Object.fromEntries(Object.keys(keys).map((key) => [key, []]));

const ratio = (results: Results, above: string, below: string): number => results[above]! / results[below]!;

/** Milliseconds of each call, one by one. */
async function serial(call: Call, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await call();
    times.push(performance.now() - start);
  }
  return times;
}

/** Calls per second with 64 in flight. */
async function parallel(call: Call): Promise<number> {
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

function report(results: Results): void {
  const text = Object.entries(results)
    .map(([key, value]) => `${key.padEnd(36)} ${Number(value.toPrecision(4))}`)
    .join('\n');
  process.stdout.write(`${cpus()[0]?.model ?? 'unknown machine'}\n${text}\n`);
}
