import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ServerSettings } from '../../server/config.ts';
import { startTestServer, temporaryStore } from './fixtures.ts';

const plain = {
  model: 'plain',
  policy: 'plain',
  critic: 'plain',
  observationSize: 3,
  actionSize: 2,
  hiddenSize: 8,
} as const;
const base64 = (...values: number[]) => Buffer.from(Float32Array.from(values).buffer).toString('base64');
const observation = { shape: [3], data: base64(0.1, 0.2, 0.3) };

async function startHttp(settings: ServerSettings = {}) {
  const started = await startTestServer([plain], { httpPort: 0, ...settings });
  const url = (method: string) => `http://127.0.0.1:${started.server.httpPort}/hyperpolicy.v1.PolicyService/${method}`;
  const post = async (method: string, body: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(url(method), {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    // biome-ignore lint/suspicious/noExplicitAny: JSON of several methods
    const json = (await response.json()) as any;
    return { status: response.status, body: json, headers: response.headers };
  };
  return { ...started, url, post };
}

describe('JSON over HTTP', () => {
  test('gives the actions and gradients of gRPC', async () => {
    const { post, client } = await startHttp();
    const act = await post('Act', { model: 'plain', observation, sequence: '7' });
    const expected = await client.act({ model: 'plain', observation: [0.1, 0.2, 0.3] });
    expect(act).toMatchObject({
      status: 200,
      body: { action: { shape: [1, 2], data: base64(...expected.action.values) }, version: 1, sequence: '7' },
    });
    const action = { shape: [2], data: base64(0, 0) };
    expect((await post('QGrad', { model: 'plain', observation, action })).body.dqDa.shape).toEqual([1, 2]);
    expect((await post('ListModels', {})).body.models[0]).toMatchObject({ model: 'plain', versions: [1] });
    expect((await post('GetModel', { model: 'plain' })).body.observation.low).toEqual([
      '-Infinity',
      '-Infinity',
      '-Infinity',
    ]);
  });

  test('adapts, and acts by handle', async () => {
    const store = await temporaryStore([{ ...plain, model: 'pearl', critic: 'none', contextSize: 1, encoder: true }]);
    const { post, client } = await startHttp({ store });
    const adapted = await post('Adapt', { model: 'pearl', seed: '2' });
    expect(adapted).toMatchObject({
      status: 200,
      body: { posterior: { mean: { shape: [1], data: base64(0) }, seed: '2' }, expiresAfterMs: 600_000 },
    });
    const { contextHandle } = adapted.body;
    const act = await post('Act', { model: 'pearl', observation, contextHandle });
    const expected = await client.act({ model: 'pearl', observation: [0.1, 0.2, 0.3], contextHandle });
    expect(act.body.action.data).toBe(base64(...expected.action.values));
    expect(await post('Act', { model: 'pearl', observation, contextHandle: 'x' })).toMatchObject({
      status: 404,
      body: { code: 'not_found' },
    });
  });

  test.each([
    [{ model: 'nope', observation }, 404, 'not_found', 'Act model: expected one of "plain", got "nope"'],
    [
      { model: 'plain', observation: { shape: [2], data: base64(0, 0) } },
      400,
      'invalid_argument',
      'Act observation: expected 3 values per row for model "plain", got shape [2]',
    ],
    [
      { model: 'plain', observation, sample: true },
      400,
      'failed_precondition',
      'Act sample: expected a stochastic policy, got model "plain", whose policy is deterministic',
    ],
  ])('%j is refused as over gRPC', async (request, status, code, message) => {
    const { post } = await startHttp();
    expect(await post('Act', request)).toMatchObject({ status, body: { code, message } });
  });

  test('what is no JSON, too large, or no method is refused without a trace', async () => {
    const { post, url } = await startHttp({ messageBytesMax: 2048 });
    const bad = await post('Act', '{"model": ');
    expect(bad.status).toBe(400);
    const large = await post('Act', { model: 'x'.repeat(5000) });
    expect(large).toMatchObject({ status: 429, body: { code: 'resource_exhausted' } });
    expect((await fetch(url('Nope'), { method: 'POST' })).status).toBe(404);
    for (const { body } of [bad, large])
      expect(JSON.stringify(body)).not.toMatch(/at .*\.(ts|js):|\/work|node_modules/);
  });

  test('honours the timeout of the protocol, tokens and the count of requests', async () => {
    const store = await temporaryStore([plain]);
    const tokensFile = join(store, 'tokens.json');
    await writeFile(
      tokensFile,
      JSON.stringify([{ name: 'x', sha256: createHash('sha256').update('key').digest('hex') }]),
    );
    const { post } = await startHttp({ store, tokensFile });
    expect((await post('ListModels', {})).body).toMatchObject({ code: 'unauthenticated' });
    expect((await post('ListModels', {}, { authorization: 'Bearer key' })).status).toBe(200);
    const late = await post(
      'Act',
      { model: 'plain', observation, fallback: 'FALLBACK_SAFE' },
      { authorization: 'Bearer key', 'connect-timeout-ms': '5000' },
    );
    expect(late.status).toBe(200);
  });

  test('cross-origin requests are off unless the origin is listed', async () => {
    const origin = 'https://lab.example';
    const off = await startHttp();
    expect((await off.post('ListModels', {}, { origin })).headers.get('access-control-allow-origin')).toBeNull();
    const on = await startHttp({ httpOrigins: [origin] });
    expect((await on.post('ListModels', {}, { origin })).headers.get('access-control-allow-origin')).toBe(origin);
    const other = await on.post('ListModels', {}, { origin: 'https://evil.example' });
    expect(other.headers.get('access-control-allow-origin')).toBeNull();
    const preflight = await fetch(on.url('Act'), {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
    });
    expect([preflight.status, preflight.headers.get('access-control-allow-methods')]).toEqual([
      204,
      expect.stringContaining('POST'),
    ]);
  });

  test('counts beside gRPC and is off unless asked for', async () => {
    const { server } = await startTestServer([plain]);
    expect(server.httpPort).toBeUndefined();
  });
});
