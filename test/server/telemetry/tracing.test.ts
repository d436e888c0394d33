import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { create, toBinary } from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ActRequestSchema, ActStreamRequestSchema } from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { attributesOf, type OtlpSpan, startCollector } from '../collector.ts';
import { startTestServer, temporaryStore } from '../fixtures.ts';

const hyper = {
  model: 'hyper',
  policy: 'hyper',
  critic: 'none',
  observationSize: 3,
  actionSize: 2,
  contextSize: 2,
  hiddenSize: 8,
  trunkSizes: [16],
} as const;

const traceId = '0af7651916cd43dd8448eb211c80319c';
const parentId = 'b7ad6b7169203331';
const sampled = `00-${traceId}-${parentId}-01`;

const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
const act = (context: readonly number[], model = 'hyper') => ({
  model,
  observation: { shape: [1, 3], data: floats(1, 2, 3) },
  contextSource: { case: 'context' as const, value: { shape: [2], data: floats(...context) } },
});
const actBytes = (context: readonly number[], model?: string) =>
  Buffer.from(toBinary(ActRequestSchema, create(ActRequestSchema, act(context, model))));

function clientOf(address: string): grpc.Client {
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  onTestFinished(() => client.close());
  return client;
}

function metadataOf(headers: Record<string, string>): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}

const pass = (bytes: Buffer) => bytes;

/** Calls Act; the status code. */
const call = (client: grpc.Client, bytes: Buffer, headers: Record<string, string> = {}): Promise<number> =>
  new Promise((resolve) => {
    const path = '/hyperpolicy.v1.PolicyService/Act';
    client.makeUnaryRequest(path, pass, pass, bytes, metadataOf(headers), (error) => resolve(error?.code ?? 0));
  });

const durationNs = ({ startTimeUnixNano, endTimeUnixNano }: OtlpSpan) =>
  Number(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano));

describe('traces', () => {
  test("a request is a span of the client's trace, with its stages as children, sent at the latest when the server drains", async () => {
    const { endpoint, spans } = await startCollector();
    const { address, server } = await startTestServer([hyper], { traceEndpoint: endpoint });
    const client = clientOf(address);
    expect(await call(client, actBytes([1, 2]), { traceparent: sampled })).toBe(0);
    await server.stop();
    const roots = spans.filter(({ parentSpanId }) => parentSpanId === parentId);
    expect(roots).toMatchObject([{ traceId, name: 'hyperpolicy.v1.PolicyService/Act', kind: 2, status: { code: 0 } }]);
    const [root] = roots;
    expect(attributesOf(root!)).toEqual({
      'rpc.system': 'grpc',
      'rpc.service': 'hyperpolicy.v1.PolicyService',
      'rpc.method': 'Act',
      'rpc.grpc.status_code': 0,
      'hyperpolicy.model': 'hyper',
      'hyperpolicy.version': 1,
      'hyperpolicy.rows': 1,
    });
    const stages = spans.filter(({ parentSpanId }) => parentSpanId === root!.spanId);
    expect(stages.map(({ name }) => name)).toEqual(['queue', 'primary', 'dynamic', 'encode']);
    expect(stages.every((span) => span.traceId === traceId)).toBe(true);
    for (const stage of stages) {
      expect(BigInt(stage.startTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(root!.startTimeUnixNano));
      expect(BigInt(stage.endTimeUnixNano)).toBeLessThanOrEqual(BigInt(root!.endTimeUnixNano));
    }
    // The stages follow each other, so that together they are no longer than the whole.
    expect(stages.reduce((sum, span) => sum + durationNs(span), 0)).toBeLessThanOrEqual(durationNs(root!));
    // The time is that of the day, not of the process.
    expect(Math.abs(Number(BigInt(root!.startTimeUnixNano) / 1_000_000n) - Date.now())).toBeLessThan(60_000);
  });

  test('a context that is known has neither queue nor primary; an error is a span too', async () => {
    const { endpoint, spans } = await startCollector();
    const { address, server } = await startTestServer([hyper], { traceEndpoint: endpoint });
    const client = clientOf(address);
    await call(client, actBytes([1, 2]));
    const before = `00-${'a'.repeat(32)}-${parentId}-01`;
    await call(client, actBytes([1, 2]), { traceparent: before });
    const refused = `00-${'b'.repeat(32)}-${parentId}-01`;
    expect(await call(client, actBytes([1, 2], 'nope'), { traceparent: refused })).toBe(grpc.status.NOT_FOUND);
    await server.stop();
    const names = (id: string) => spans.filter((span) => span.traceId === id).map(({ name }) => name);
    expect(names('a'.repeat(32))).toEqual(['dynamic', 'encode', 'hyperpolicy.v1.PolicyService/Act']);
    expect(names('b'.repeat(32))).toEqual(['hyperpolicy.v1.PolicyService/Act']);
    const span = spans.find((one) => one.traceId === 'b'.repeat(32))!;
    expect(attributesOf(span)).toMatchObject({ 'rpc.grpc.status_code': grpc.status.NOT_FOUND });
    // A client's fault is none of the server's.
    expect(span.status.code).toBe(0);
  });

  test('each message of a stream is a span', async () => {
    const { endpoint, spans } = await startCollector();
    const { address, server } = await startTestServer([hyper], { traceEndpoint: endpoint });
    const stream = clientOf(address).makeBidiStreamRequest(
      '/hyperpolicy.v1.PolicyService/ActStream',
      pass,
      pass,
      metadataOf({ traceparent: sampled }),
    );
    stream.resume();
    for (let i = 0; i < 3; i++) {
      const request = create(ActStreamRequestSchema, { act: act([i, i]) });
      stream.write(Buffer.from(toBinary(ActStreamRequestSchema, request)));
    }
    stream.end();
    await once(stream, 'end');
    await server.stop();
    const roots = spans.filter(({ parentSpanId }) => parentSpanId === parentId);
    expect(roots.map(({ name }) => name)).toEqual(Array(3).fill('hyperpolicy.v1.PolicyService/ActStream'));
  });

  test('over HTTP the header is taken likewise', async () => {
    const { endpoint, spans } = await startCollector();
    const { server } = await startTestServer([hyper], { traceEndpoint: endpoint, httpPort: 0 });
    const response = await fetch(`http://127.0.0.1:${server.httpPort}/hyperpolicy.v1.PolicyService/ListModels`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', traceparent: sampled },
      body: '{}',
    });
    expect(response.status).toBe(200);
    await server.stop();
    expect(spans).toMatchObject([{ traceId, parentSpanId: parentId, name: 'hyperpolicy.v1.PolicyService/ListModels' }]);
  });

  test('the ratio decides where the client does not, and the client where it does', async () => {
    const { endpoint, spans } = await startCollector();
    const { address, server } = await startTestServer([hyper], { traceEndpoint: endpoint, traceRatio: 0 });
    const client = clientOf(address);
    for (let i = 0; i < 20; i++) await call(client, actBytes([1, 2]));
    await call(client, actBytes([1, 2]), { traceparent: `00-${'c'.repeat(32)}-${parentId}-00` });
    await call(client, actBytes([1, 2]), { traceparent: 'nonsense' });
    await call(client, actBytes([1, 2]), { traceparent: sampled });
    await server.stop();
    expect(new Set(spans.map((span) => span.traceId))).toEqual(new Set([traceId]));
  });

  test('a collector that is away, or never answers, disturbs neither requests nor the end, and is said once', async () => {
    const hanging = await startCollector(() => {});
    // Nobody listens on port 9 of the loopback address.
    for (const traceEndpoint of ['http://robot:secret@127.0.0.1:9/v1/traces', hanging.endpoint]) {
      const { address, server, lines } = await startTestServer([hyper], {
        traceEndpoint,
        traceQueueCountMax: 64,
        drainMs: 300,
      });
      const client = clientOf(address);
      const codes = new Set<number>();
      for (let i = 0; i < 10; i++) {
        const wave = Array.from({ length: 100 }, (_, k) => call(client, actBytes([k % 5, 0])));
        for (const code of await Promise.all(wave)) codes.add(code);
      }
      expect([...codes]).toEqual([0]);
      const startMs = performance.now();
      await server.stop();
      expect(performance.now() - startMs).toBeLessThan(5000);
      expect(lines.filter(({ msg }) => msg === 'traces cannot be sent').length).toBeLessThanOrEqual(1);
      expect(JSON.stringify(lines)).not.toContain('secret');
    }
    expect(hanging.requestCount).toBeGreaterThan(0);
    // Of 1000 requests at most the queue and the batches under way were kept.
    expect(hanging.spans.length).toBeLessThan(1000);
  });

  test('are not even loaded where they are off', async () => {
    const store = await temporaryStore();
    const main = new URL('../../../dist/server/main.js', import.meta.url).href;
    const script = `
      import { createRequire } from 'node:module';
      const { startServer } = await import(${JSON.stringify(main)});
      const settings = { store: ${JSON.stringify(store)}, port: 0, metricsPort: 0, logLevel: 'silent' };
      const loaded = () => Object.keys(createRequire(import.meta.url).cache).filter((path) => path.includes('opentelemetry/sdk'));
      const withTraces = process.argv.includes('traced');
      const server = await startServer({ ...settings, ...(withTraces && { traceEndpoint: 'http://127.0.0.1:9/' }) });
      console.log(loaded().length > 0);
      await server.stop();`;
    const run = async (...args: string[]) => {
      const flags = ['--input-type=module', '-e', script, '--', ...args];
      const { stdout } = await promisify(execFile)(process.execPath, flags, {
        cwd: fileURLToPath(new URL('../../..', import.meta.url)),
      });
      return stdout.trim();
    };
    expect([await run(), await run('traced')]).toEqual(['false', 'true']);
  });
});
