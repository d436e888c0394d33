/** Contexts that are new, known, or drawn from a thousand: what the cache saves, and what the primary does under load. */

import { fromBinary } from '@bufbuild/protobuf';
import { serverDefaults } from '../../server/config.ts';
import { createRandom } from '../../src/contract/random.ts';
import { ActResponseSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { floatTensor, openSession } from '../../src/onnx/session.ts';
import { addRatio, addTimes } from './serve-act.ts';
import { paths } from './serve-client.ts';
import { actWithContexts, contextSize, normals } from './serve-requests.ts';
import { inTurns, parallel } from './serve-rounds.ts';
import type { ServeBench } from './serve-setup.ts';
import { median, zipfRanks } from './statistics.ts';

const newContextCount = 20;
/** Calls with a known context after each with a new one. */
const warmCallCount = 5;

/** Compute of one row with a context never seen and again with the same: the primary's time, waiting included, and the network's. */
export async function newAndKnownContext({ client, rounds, figures }: ServeBench): Promise<void> {
  const random = createRandom(3);
  const wall = { cold: [] as number[], warm: [] as number[] };
  const compute = { cold: [] as number[], warm: [] as number[] };
  const ask = async (request: Buffer, kind: 'cold' | 'warm') => {
    const start = performance.now();
    const answer = await client.call(paths.act, request);
    wall[kind].push(performance.now() - start);
    const { primaryUs, networkUs } = fromBinary(ActResponseSchema, answer).timing!;
    compute[kind].push((primaryUs + networkUs) / 1000);
  };
  for (const request of actWithContexts(random, rounds * newContextCount)) {
    await ask(request, 'cold');
    for (let i = 0; i < warmCallCount; i++) await ask(request, 'warm');
  }
  for (const kind of ['cold', 'warm'] as const) {
    figures[`act_${kind}_context_ms`] = median(compute[kind]);
    addTimes(figures, `act_${kind}_context`, [compute[kind]]);
    addTimes(figures, `act_${kind}_context_call`, [wall[kind]]);
  }
  figures.act_cold_warm_ratio = median(compute.cold) / median(compute.warm);
  figures.act_cold_context_count = compute.cold.length;
}

const zipfContextCount = 1000;
const zipfCallCount = 4000;

/** 64 calls in flight whose contexts are drawn by Zipf's law from a thousand that are new at the start of each round. */
export async function thousandContexts(bench: ServeBench): Promise<void> {
  const { client, server, figures, rounds } = bench;
  const random = createRandom(4);
  const rank = zipfRanks(zipfContextCount, random);
  const echo = await bench.echo('hyper');
  const sides = { ours: { times: [] as number[][], rates: [] as number[] }, echo: { rates: [] as number[] } };
  const cacheCount = (kind: string) => server.metric(`hyperpolicy_context_cache_${kind}_total{cache="policy"}`);
  let hits = 0;
  let misses = 0;
  const ours = async () => {
    const requests = actWithContexts(random, zipfContextCount);
    const before = [await cacheCount('hits'), await cacheCount('misses')];
    const call = () => client.call(paths.act, requests[rank()]!);
    const { times, perSecond } = await parallel(call, { count: zipfCallCount });
    hits += (await cacheCount('hits')) - before[0]!;
    misses += (await cacheCount('misses')) - before[1]!;
    sides.ours.times.push(times);
    sides.ours.rates.push(perSecond);
  };
  const theirs = async () => {
    // The same draw, so that the client does the same work.
    const call = () => {
      rank();
      return echo.client.call(paths.act, echo.requests.act);
    };
    sides.echo.rates.push((await parallel(call, { count: zipfCallCount })).perSecond);
  };
  await inTurns(rounds, [ours, theirs]);
  addTimes(figures, 'act_contexts_1000_zipf', sides.ours.times);
  figures.act_contexts_1000_zipf_rps = median(sides.ours.rates);
  addRatio(figures, 'act_contexts_1000_zipf_throughput_ratio', sides.ours.rates, sides.echo.rates);
  figures.act_contexts_1000_zipf_hit_ratio = hits / (hits + misses);
  figures.act_contexts_1000_zipf_calls_per_round = zipfCallCount;
}

const coldCallCount = 1500;
const inProcessMs = 400;

/**
 * 64 calls in flight, each with a context never seen, against ONNX Runtime running the primary alone in this process, at the batch
 * size that the server's runs had in the same round and with as many threads as its worker has.
 */
export async function coldRows(bench: ServeBench): Promise<void> {
  const { client, server, figures, rounds } = bench;
  const random = createRandom(5);
  const { threadCount, workerCount } = serverDefaults;
  const primary = openSession(await bench.graph('hyper', 'policy.primary.onnx'), { threadCount });
  bench.onEnd(() => primary.dispose());
  const batches = { ours: [] as number[], times: [] as number[][], rates: [] as number[], inProcess: [] as number[] };
  let batchRows = 1;
  const runs = async () => {
    const name = (part: string) => `hyperpolicy_batch_rows_${part}{graph="policy.primary.onnx"}`;
    return { rowCount: await server.metric(name('sum')), count: await server.metric(name('count')) };
  };
  const ours = async () => {
    const requests = actWithContexts(random, coldCallCount);
    const before = await runs();
    const { times, perSecond } = await parallel(() => client.call(paths.act, requests.pop()!), {
      count: coldCallCount,
    });
    const after = await runs();
    if (after.count === before.count)
      throw new Error('hyperpolicy_batch_rows: expected runs of policy.primary.onnx, got none');
    batchRows = Math.round((after.rowCount - before.rowCount) / (after.count - before.count));
    batches.ours.push(batchRows);
    batches.times.push(times);
    batches.rates.push(perSecond);
  };
  const inProcess = async () => {
    const feeds = { context: floatTensor(normals(random, batchRows * contextSize), [batchRows, contextSize]) };
    const start = performance.now();
    let rowCount = 0;
    for (; performance.now() - start < inProcessMs; rowCount += batchRows) primary.run(feeds);
    batches.inProcess.push((1000 * rowCount) / (performance.now() - start));
  };
  await ours();
  await inProcess();
  for (const list of Object.values(batches)) list.length = 0;
  await inTurns(rounds, [ours, inProcess]);
  addTimes(figures, 'act_cold_c64', batches.times);
  figures.act_cold_rows_per_s = median(batches.rates);
  figures.act_cold_rows_batch = median(batches.ours);
  figures.act_cold_rows_in_process_per_s = median(batches.inProcess);
  addRatio(figures, 'act_cold_rows_ratio', batches.rates, batches.inProcess);
  figures.server_worker_count = workerCount;
  figures.server_thread_count = threadCount;
}
