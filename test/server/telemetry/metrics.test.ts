import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GraphLabels } from '../../../server/telemetry/graph-labels.ts';
import { ModelInferRequestSchema } from '../../../src/gen/inference/grpc_predict_v2_pb.ts';
import { rawCaller } from '../../compliance/raw-call.ts';
import { publishRandomPackage } from '../../random-package.ts';
import { type Family, parseExposition } from '../exposition.ts';
import { startTestServer, type TestServer, temporaryStore } from '../fixtures.ts';

const sizes = { observationSize: 3, actionSize: 2, hiddenSize: 8, trunkSizes: [16] } as const;
const observation = [0.1, 0.2, 0.3];
const secondBounds = [
  1e-5, 2e-5, 5e-5, 0.0001, 0.0003, 0.0006, 0.001, 0.002, 0.003, 0.005, 0.008, 0.013, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5,
  1, 2.5, 5, 10,
];

let server: TestServer;
let families: Map<string, Family>;

async function scrape({ server: { metricsPort } } = server): Promise<Map<string, Family>> {
  const response = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  return parseExposition(await response.text());
}

/** The sum of the samples whose labels include these. */
const total = (name: string, labels: Record<string, string> = {}, from = families): number => {
  const family = from.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''));
  if (family === undefined) throw new Error(`no metric ${name}`);
  return family.samples
    .filter((sample) => sample.name === name)
    .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
    .reduce((sum, { value }) => sum + value, 0);
};

beforeAll(async () => {
  server = await startTestServer(
    [
      { model: 'hyper', policy: 'hyper', critic: 'hyper', ...sizes, contextSize: 2 },
      { model: 'plain', policy: 'plain', critic: 'plain', ...sizes },
    ],
    { httpPort: 0 },
    afterAll,
  );
  const { client } = server;
  for (const context of [
    [1, 2],
    [1, 2],
    [3, 4],
  ]) {
    await client.act({ model: 'hyper', observation, context });
  }
  await client.act({ model: 'plain', observation: [observation, observation] });
  await client.qGrad({ model: 'hyper', observation, action: [0, 0] });
  await client.qGrad({ model: 'plain', observation, action: [0, 0] });
  await client.act({ model: 'nope', observation }).catch(() => {});
  await fetch(`http://127.0.0.1:${server.server.httpPort}/hyperpolicy.v1.PolicyService/Act`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"model":"nope"}',
  });
  const raw = rawCaller(server.address, afterAll);
  await raw('/hyperpolicy.v1.PolicyService/Nope', Buffer.alloc(0));
  await raw('/no.such.Service/Act', Buffer.alloc(0));
  const infer = create(ModelInferRequestSchema, {
    modelName: 'plain',
    inputs: [{ name: 'observation', datatype: 'FP32', shape: [1n, 3n], contents: { fp32Contents: observation } }],
  });
  await raw('/inference.GRPCInferenceService/ModelInfer', toBinary(ModelInferRequestSchema, infer));
  families = await scrape();
});

describe('/metrics', () => {
  test('has every metric, of the right type', () => {
    const types = Object.fromEntries([...families].map(([name, { type }]) => [name, type]));
    expect(types).toMatchObject({
      grpc_server_started_total: 'counter',
      grpc_server_handled_total: 'counter',
      grpc_server_msg_received_total: 'counter',
      grpc_server_msg_sent_total: 'counter',
      grpc_server_handling_seconds: 'histogram',
      hyperpolicy_rows: 'histogram',
      hyperpolicy_batch_rows: 'histogram',
      hyperpolicy_queue_seconds: 'histogram',
      hyperpolicy_primary_seconds: 'histogram',
      hyperpolicy_dynamic_seconds: 'histogram',
      hyperpolicy_encode_seconds: 'histogram',
      hyperpolicy_heavy_run_seconds: 'histogram',
      hyperpolicy_requests_in_flight: 'gauge',
      hyperpolicy_stream_requests_in_flight: 'gauge',
      hyperpolicy_queue_rows: 'gauge',
      hyperpolicy_context_cache_hits_total: 'counter',
      hyperpolicy_context_cache_misses_total: 'counter',
      hyperpolicy_context_cache_evictions_total: 'counter',
      hyperpolicy_context_cache_entries: 'gauge',
      hyperpolicy_context_cache_bytes: 'gauge',
      hyperpolicy_generations_in_flight: 'gauge',
      hyperpolicy_fallbacks_total: 'counter',
      hyperpolicy_model_version_info: 'gauge',
      hyperpolicy_model_version_device: 'gauge',
      hyperpolicy_device_fallbacks_total: 'counter',
      hyperpolicy_model_loads_total: 'counter',
      hyperpolicy_weight_age_seconds: 'gauge',
      hyperpolicy_event_loop_delay_seconds: 'gauge',
      process_resident_memory_bytes: 'gauge',
    });
    for (const [name, { help }] of families) expect(help, name).not.toBe('');
  });

  test('histograms of seconds have the bounds of a control loop, and cumulative buckets that end at the count', () => {
    for (const [name, { type, samples }] of families) {
      if (type !== 'histogram' || !/^(hyperpolicy|grpc)_/.test(name)) continue;
      const series = new Map<string, { bounds: string[]; counts: number[]; count?: number; sum?: number }>();
      for (const { name: sample, labels, value } of samples) {
        const { le, ...others } = labels;
        const key = JSON.stringify(others);
        const one = series.get(key) ?? { bounds: [], counts: [] };
        series.set(key, one);
        if (le !== undefined) {
          one.bounds.push(le);
          one.counts.push(value);
        } else if (sample.endsWith('_count')) one.count = value;
        else one.sum = value;
      }
      for (const { bounds, counts, count, sum } of series.values()) {
        if (name.endsWith('_seconds')) expect(bounds, name).toEqual([...secondBounds.map(String), '+Inf']);
        expect(counts, name).toEqual([...counts].sort((a, b) => a - b));
        expect(counts.at(-1), name).toBe(count);
        expect(sum, name).toBeGreaterThanOrEqual(0);
      }
    }
  });

  test('counts the calls of each method, with every code there from the start', () => {
    const act = { grpc_service: 'hyperpolicy.v1.PolicyService', grpc_method: 'Act', grpc_type: 'unary' };
    expect(total('grpc_server_started_total', act)).toBe(6);
    expect(total('grpc_server_handled_total', { ...act, grpc_code: 'OK' })).toBe(4);
    expect(total('grpc_server_handled_total', { ...act, grpc_code: 'NotFound' })).toBe(2);
    expect(total('grpc_server_handling_seconds_count', act)).toBe(6);
    const codes = families
      .get('grpc_server_handled_total')!
      .samples.filter(({ labels }) => labels.grpc_method === 'GetModel')
      .map(({ labels, value }) => [labels.grpc_code, value]);
    expect(Object.fromEntries(codes)).toEqual({
      OK: 0,
      Canceled: 0,
      InvalidArgument: 0,
      DeadlineExceeded: 0,
      NotFound: 0,
      PermissionDenied: 0,
      ResourceExhausted: 0,
      FailedPrecondition: 0,
      Unimplemented: 0,
      Internal: 0,
      Unavailable: 0,
      Unauthenticated: 0,
    });
  });

  test('counts calls of unknown methods as other', () => {
    const other = { grpc_type: 'other', grpc_service: 'other', grpc_method: 'other' };
    expect(total('grpc_server_started_total', other)).toBe(2);
    expect(total('grpc_server_handled_total', { ...other, grpc_code: 'Unimplemented' })).toBe(2);
    expect(total('grpc_server_handled_total', other)).toBe(2);
  });

  test('tells where the time of requests went', () => {
    const counts = (name: string, label: string, values: readonly string[]) =>
      values.map((value) => total(`hyperpolicy_${name}_count`, { [label]: value }));
    const methods = ['Act', 'QGrad', 'ModelInfer'];
    expect(counts('rows', 'method', methods)).toEqual([4, 2, 1]);
    expect(total('hyperpolicy_rows_sum', { method: 'Act' })).toBe(5);
    // Two new contexts and one that was known; one new observation.
    expect(counts('primary_seconds', 'method', methods)).toEqual([2, 1, 0]);
    expect(counts('dynamic_seconds', 'method', methods)).toEqual([4, 2, 1]);
    expect(counts('encode_seconds', 'method', methods)).toEqual([4, 2, 1]);
    const graphs = ['policy.primary.onnx', 'critic.primary.onnx', 'critic.onnx'];
    // Requests alone: probes wait too, but for nobody.
    expect(counts('queue_seconds', 'graph', graphs)).toEqual([2, 1, 1]);
    // Beside the two contexts, probes were replayed.
    for (const name of ['heavy_run_seconds', 'batch_rows']) {
      const [policy, critic, plain] = counts(name, 'graph', graphs);
      expect(policy, name).toBeGreaterThanOrEqual(3);
      expect(critic, name).toBeGreaterThanOrEqual(2);
      expect(plain, name).toBeGreaterThanOrEqual(2);
    }
  });

  test('has the limit beside what is bounded', () => {
    const limits = [...families.keys()].filter((name) => name.startsWith('hyperpolicy_max_'));
    expect(limits.sort()).toEqual([
      'hyperpolicy_max_connections',
      'hyperpolicy_max_context_cache_bytes',
      'hyperpolicy_max_context_handle_bytes',
      'hyperpolicy_max_context_handles',
      'hyperpolicy_max_handle_cache_bytes',
      'hyperpolicy_max_held_actions',
      'hyperpolicy_max_http_connections',
      'hyperpolicy_max_queue_rows',
      'hyperpolicy_max_requests_in_flight',
      'hyperpolicy_max_stuck_threads',
      'hyperpolicy_max_trace_spans_waiting',
    ]);
    for (const limit of limits) {
      expect(total(limit.replace('_max', '')), limit).toBeLessThanOrEqual(total(limit));
      expect(total(limit), limit).toBeGreaterThan(0);
    }
  });

  test('tells the version of the server, and of files that were read again from the start', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    expect(total('hyperpolicy_build_info', { version })).toBe(1);
    const reloads = families.get('hyperpolicy_reloads_total')!.samples;
    expect(reloads.map(({ labels: { kind, result }, value }) => [kind, result, value])).toEqual([
      ['certificates', 'loaded', 0],
      ['certificates', 'refused', 0],
      ['tokens', 'loaded', 0],
      ['tokens', 'refused', 0],
      ['labels', 'loaded', 0],
      ['labels', 'refused', 0],
    ]);
  });

  test('tells what the caches hold', () => {
    const cache = { cache: 'policy' };
    expect(total('hyperpolicy_context_cache_hits_total', cache)).toBe(1);
    expect(total('hyperpolicy_context_cache_misses_total', cache)).toBe(2);
    expect(total('hyperpolicy_context_cache_entries', cache)).toBe(2);
    expect(total('hyperpolicy_context_cache_bytes', cache)).toBeGreaterThan(0);
    expect(total('hyperpolicy_generations_in_flight')).toBe(0);
  });

  test('tells the versions and how they loaded', () => {
    expect(total('hyperpolicy_model_version_info', { model: 'hyper', version: '1' })).toBe(1);
    expect(total('hyperpolicy_model_loads_total', { model: 'hyper', result: 'loaded' })).toBe(1);
  });

  test('has no label that grows with clients, contexts or requests', () => {
    const labels = new Set(
      [...families.values()].flatMap(({ samples }) => samples.flatMap((one) => Object.keys(one.labels))),
    );
    for (const standard of ['le', 'type', 'kind', 'space', 'version', 'major', 'minor', 'patch', 'quantile']) {
      labels.delete(standard);
    }
    expect([...labels].sort()).toEqual(
      [
        'cache',
        'device',
        'fallback',
        'graph',
        'grpc_code',
        'grpc_method',
        'grpc_service',
        'grpc_type',
        'method',
        'model',
        'precision',
        'reason',
        'result',
      ].filter((label) => labels.has(label)),
    );
  });
});

test('requests are counted and timed by the version that answers, messages of streams too; a version goes when nobody uses it', async () => {
  const store = await temporaryStore([{ model: 'plain', policy: 'plain', critic: 'none', ...sizes }]);
  const own = await startTestServer([], { store, versionCountMax: 1 });
  const { client, server: running } = own;
  await client.act({ model: 'plain', observation });
  await client.act({ model: 'plain', observation: [1] }).catch(() => {});
  await client.act({ model: 'nope', observation }).catch(() => {});
  const stream = client.actStream({ model: 'plain' });
  await stream.act({ observation });
  await stream.act({ observation: [1] }).catch(() => {});
  await stream.act({ observation });
  await publishRandomPackage({ store, model: 'plain', policy: 'plain', critic: 'none', ...sizes, seed: 2 });
  await running.models.refresh();
  await stream.act({ observation });
  await client.act({ model: 'plain', observation });
  const requests = async () => {
    const found = await scrape(own);
    const samples = found.get('hyperpolicy_requests_total')!.samples.filter(({ value }) => value > 0);
    const timed = found.get('hyperpolicy_request_seconds')!.samples.filter(({ name }) => name.endsWith('_count'));
    expect(samples.reduce((sum, { value }) => sum + value, 0)).toBe(timed.reduce((sum, { value }) => sum + value, 0));
    return Object.fromEntries(
      samples
        .filter(({ labels }) => labels.method!.startsWith('Act'))
        .map(({ labels: { method, model, version, grpc_code }, value }) => [
          `${method} ${model} ${version} ${grpc_code}`,
          value,
        ]),
    );
  };
  const stays = { 'Act other other NotFound': 1, 'Act plain 2 OK': 1 };
  const goes = { 'Act plain 1 OK': 1, 'Act plain 1 InvalidArgument': 1, 'ActStream plain 1 InvalidArgument': 1 };
  expect(await requests()).toEqual({ ...stays, ...goes, 'ActStream plain 1 OK': 3 });
  await stream.act({ observation });
  await stream.close();
  await expect.poll(requests, { timeout: 20_000 }).toEqual(stays);
});

test('a package that replaces another under its number while that is in use has one series of its queue with it', async () => {
  const hyper = { model: 'hyper', policy: 'hyper', critic: 'none', ...sizes, contextSize: 2 } as const;
  const store = await temporaryStore([hyper]);
  const own = await startTestServer([], { store });
  const stream = own.client.actStream({ model: 'hyper' });
  await stream.act({ observation, context: [1, 2] });
  await rm(join(store, 'hyper', '1'), { recursive: true });
  await publishRandomPackage({ store, ...hyper, seed: 2 });
  await own.server.models.refresh();
  // parseExposition refuses a series that is there twice.
  expect((await scrape(own)).get('hyperpolicy_queue_rows')!.samples).toEqual([
    {
      name: 'hyperpolicy_queue_rows',
      labels: { graph: 'policy.primary.onnx', model: 'hyper', version: '1' },
      value: 0,
    },
  ]);
  await stream.close();
});

test('what was counted of a model goes when it leaves the store, and stays while it is refused', async () => {
  const plain = { policy: 'plain', critic: 'none', ...sizes } as const;
  const store = await temporaryStore([
    { model: 'stays', ...plain },
    { model: 'leaves', ...plain },
  ]);
  const own = await startTestServer([], { store });
  await writeFile(join(store, 'stays', '1', 'policy.onnx'), 'damaged');
  await rm(join(store, 'leaves'), { recursive: true });
  await own.server.models.refresh();
  const loads = async () =>
    (await scrape(own))
      .get('hyperpolicy_model_loads_total')!
      .samples.map(({ labels: { model, result }, value }) => [model, result, value]);
  // What goes is shown once more.
  expect(await loads()).toContainEqual(['leaves', 'loaded', 1]);
  expect((await loads()).map(([model]) => model)).not.toContain('leaves');
  expect(await loads()).toContainEqual(['stays', 'loaded', 1]);
  await publishRandomPackage({ store, model: 'leaves', ...plain });
  await own.server.models.refresh();
  expect(await loads()).toContainEqual(['leaves', 'loaded', 1]);
  expect(await loads()).toContainEqual(['leaves', 'loaded', 1]);
});

test('graphs beyond the first 32 names are `other`', () => {
  const graphs = new GraphLabels();
  const names = Array.from({ length: 34 }, (_, i) => graphs.of(`graph${i}.onnx`));
  expect(new Set(names).size).toBe(33);
  expect([names[31], names[32], graphs.of('graph0.onnx')]).toEqual(['graph31.onnx', 'other', 'graph0.onnx']);
});
