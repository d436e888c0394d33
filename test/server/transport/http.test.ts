import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { describe, expect, test, vi } from 'vitest';
import type { ServerSettings } from '../../../server/config.ts';
import { codeOf, type StatusName } from '../../../src/contract/status.ts';
import { metricLines, startTestServer, temporaryStore } from '../fixtures.ts';

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
      body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
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

  test('lists inside lists are refused, however deep', async () => {
    const { post } = await startHttp();
    const deep = '['.repeat(100_000) + ']'.repeat(100_000);
    expect(await post('Act', deep)).toMatchObject({
      status: 400,
      body: { message: 'Act: expected a JSON object, got lists inside lists' },
    });
    expect(await post('Act', `{"model":"plain","observation":{"shape":${deep}}}`)).toMatchObject({
      status: 400,
      body: {
        message:
          'Act observation.shape: expected a list of values, each an integer in [0, 2^32), got lists inside lists',
      },
    });
  });

  test('what would be read as something else than was written is refused', async () => {
    const { post } = await startHttp();
    // A client's name in Latin-1. As UTF-8 it would be the same as any other with one such character.
    const named = JSON.stringify({ model: 'plain', observation, clientId: 'jürgen' });
    expect(await post('Act', Buffer.from(named, 'latin1'))).toMatchObject({
      status: 400,
      body: { message: expect.stringMatching(/^Act body: expected JSON, got text that is none \(.*utf-8\)$/) },
    });
    expect((await post('Act', named)).status).toBe(200);
    const numbered = (sequence: string) =>
      post('Act', `{"model":"plain","sequence" : ${sequence},"observation":${JSON.stringify(observation)}}`);
    expect(await numbered('9007199254740993')).toMatchObject({
      status: 400,
      body: { message: 'Act sequence: expected an integer, beyond 2^53 as a text, got a number' },
    });
    for (const exact of ['"9007199254740993"', '9007199254740991']) {
      expect((await numbered(exact)).body.sequence).toBe(exact.replaceAll('"', ''));
    }
  });

  test.each([
    ['identity', (text: Buffer) => text],
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
  ] as const)('so is what is sent as %s', async (encoding, packed) => {
    const { post } = await startHttp();
    const send = (text: Buffer) => post('Act', packed(text), { 'content-encoding': encoding });
    const numbered = JSON.stringify({ model: 'plain', observation, sequence: 0 });
    expect(await send(Buffer.from(numbered.replace(':0}', ':9007199254740993}')))).toMatchObject({
      status: 400,
      body: { message: 'Act sequence: expected an integer, beyond 2^53 as a text, got a number' },
    });
    const named = JSON.stringify({ model: 'plain', observation, clientId: 'jürgen' });
    expect((await send(Buffer.from(named, 'latin1'))).status).toBe(400);
    expect((await send(Buffer.from(named))).status).toBe(200);
  });

  test.each([
    'application/json; charset=utf-8',
    'application/json; charset="UTF-8"',
    'application/json ;charset=utf-8',
  ])('takes %s', async (type) => {
    const { post } = await startHttp();
    expect((await post('Act', { model: 'plain', observation }, { 'content-type': type })).status).toBe(200);
  });

  test('a number has the precision of its field, as over gRPC', async () => {
    const { post, client } = await startHttp();
    const request = { model: 'plain', observation: [0.1, 0.2, 0.3], action: [0, 0] };
    const climb = (stepSize: number) =>
      post('QGrad', {
        ...request,
        observation,
        action: { shape: [2], data: base64(0, 0) },
        ascent: { stepCount: 20, stepSize },
      });
    const expected = await client.qGrad({ ...request, ascent: { stepCount: 20, stepSize: 0.1 } });
    expect((await climb(0.1)).body.action.data).toBe(base64(...expected.action!.values));
    // In float32 it is 0.
    expect(await climb(1e-50)).toMatchObject({
      status: 400,
      body: { message: 'QGrad ascent: expected a finite step_size above 0, got 0' },
    });
  });

  test('what is no JSON, too large, or no method is refused without a trace', async () => {
    const { post, url } = await startHttp({ messageBytesMax: 2048 });
    const bad = await post('Act', '{"model": ');
    expect(bad.status).toBe(400);
    const large = await post('Act', { model: 'x'.repeat(5000) });
    expect(large).toMatchObject({ status: 429, body: { code: 'resource_exhausted' } });
    const unknown = await fetch(url('Nope'), { method: 'POST' });
    expect([unknown.status, await unknown.json()]).toEqual([
      404,
      {
        code: 'unimplemented',
        message:
          'HTTP port: expected a path /hyperpolicy.v1.PolicyService/METHOD of an RPC with one answer, got "/hyperpolicy.v1.PolicyService/Nope"',
      },
    ]);
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

  test('what may not be answered is refused before it is decoded', async () => {
    const store = await temporaryStore([{ ...plain, model: 'hyper', policy: 'hyper', critic: 'none', contextSize: 1 }]);
    const tokensFile = join(store, 'tokens.json');
    const sha256 = createHash('sha256').update('key').digest('hex');
    await writeFile(tokensFile, JSON.stringify([{ name: 'x', sha256 }]));
    const limits = { requestCountMax: 1, batchDelayMs: 10_000 };
    const started = await startHttp({ store, tokensFile, ...limits });
    const { post } = started;
    const noJson = '{"model": ';
    expect(await post('Prepare', noJson)).toMatchObject({ status: 401, body: { code: 'unauthenticated' } });
    const authorization = 'Bearer key';
    // Refused by the library: each gives its place back.
    for (let i = 0; i < 3; i++) {
      expect(await post('Prepare', noJson, { authorization })).toMatchObject({
        status: 400,
        body: { message: expect.stringMatching(/^Prepare body: expected JSON/) },
      });
    }
    const context = { shape: [1], data: base64(1) };
    const stop = new AbortController();
    const waiting = fetch(started.url('Prepare'), {
      method: 'POST',
      headers: { ...json, authorization },
      body: JSON.stringify({ model: 'hyper', context }),
      signal: stop.signal,
    });
    const left = expect(waiting).rejects.toThrow('aborted');
    const inFlight = 'hyperpolicy_requests_in_flight';
    await vi.waitFor(async () => expect(await metricLines(started, inFlight)).toEqual({ [inFlight]: 1 }), 20_000);
    expect(await post('Prepare', noJson, { authorization })).toMatchObject({
      status: 429,
      body: { message: 'Prepare: expected at most 1 requests in flight, got one more. Retry with backoff' },
    });
    stop.abort();
    await left;
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
    const allowed = preflight.headers.get('access-control-allow-headers')!.split(', ');
    const sent = ['authorization', 'content-type', 'connect-protocol-version', 'connect-timeout-ms'];
    expect(allowed).toEqual(expect.arrayContaining([...sent, 'traceparent', 'tracestate', 'baggage']));
    // A cache on the way may not give one origin's answer to another.
    expect(other.headers.get('vary')).toBe('origin');
  });

  const bodies: Readonly<Record<number, object>> = {
    405: { code: 'unimplemented', message: 'Act: expected POST, got another HTTP method' },
    415: {
      code: 'invalid_argument',
      message: 'Act content-type: expected application/json or application/proto, got "text/xml"',
    },
  };
  const json = { 'content-type': 'application/json' };
  const origin = 'https://evil.example';
  const asksFor = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' };
  const okBody = JSON.stringify({ model: 'plain', observation });
  test.each<[string, string, RequestInit, readonly [number, string, string]]>([
    ['answered', 'Act', { headers: json, body: okBody }, [200, 'Act', 'OK']],
    ['refused by its handler', 'Act', { headers: json, body: '{"model":"nope"}' }, [404, 'Act', 'NOT_FOUND']],
    ['of another content type', 'Act', { headers: { 'content-type': 'text/xml' } }, [415, 'Act', 'INVALID_ARGUMENT']],
    ['no JSON', 'Act', { headers: json, body: '{"model": ' }, [400, 'Act', 'INVALID_ARGUMENT']],
    ['no request', 'GetModel', { headers: json, body: '{"version": "x"}' }, [400, 'GetModel', 'INVALID_ARGUMENT']],
    ['too large', 'Act', { headers: json, body: `"${'x'.repeat(5000)}"` }, [429, 'Act', 'RESOURCE_EXHAUSTED']],
    [
      'answered with too much',
      'Act',
      {
        headers: json,
        body: JSON.stringify({ model: 'wide', observation: { shape: [40, 1], data: base64(...Array(40).fill(0)) } }),
      },
      [429, 'Act', 'RESOURCE_EXHAUSTED'],
    ],
    ['of another HTTP method', 'Act', { method: 'PUT', headers: json, body: okBody }, [405, 'Act', 'UNIMPLEMENTED']],
    ['for no method', 'Nope', { headers: json, body: '{}' }, [404, 'other', 'UNIMPLEMENTED']],
    ['for the stream', 'ActStream', { headers: json, body: '{}' }, [505, 'other', 'UNIMPLEMENTED']],
    [
      'of an unlisted origin',
      'Act',
      { method: 'OPTIONS', headers: { origin, ...asksFor } },
      [405, 'Act', 'PERMISSION_DENIED'],
    ],
    [
      'compressed in a way that is not known',
      'Act',
      { headers: { ...json, 'content-encoding': 'zip' }, body: okBody },
      [501, 'Act', 'UNIMPLEMENTED'],
    ],
  ])('a request that is %s is counted and logged once', async (_, method, init, [httpStatus, countedAs, code]) => {
    const wide = { ...plain, model: 'wide', observationSize: 1, actionSize: 16 };
    const store = await temporaryStore([plain, wide]);
    const started = await startHttp({ store, messageBytesMax: 2048, requestLogEvery: 1 });
    const response = await fetch(started.url(method), { method: 'POST', ...init });
    const text = await response.text();
    expect(response.status).toBe(httpStatus);
    if (httpStatus in bodies) expect(JSON.parse(text)).toEqual(bodies[httpStatus]);
    const counted = Object.entries(await metricLines(started, 'grpc_server_')).filter(([, value]) => value > 0);
    const [type, service] = countedAs === 'other' ? ['other', 'other'] : ['unary', 'hyperpolicy.v1.PolicyService'];
    const labels = `grpc_type="${type}",grpc_service="${service}",grpc_method="${countedAs}"`;
    const totals = counted.filter(([name]) => /^grpc_server_(started|handled)_total/.test(name));
    expect(totals).toEqual([
      [`grpc_server_started_total{${labels}}`, 1],
      [`grpc_server_handled_total{${labels},grpc_code="${codeOf(code as StatusName)}"}`, 1],
    ]);
    expect(counted).toContainEqual([`grpc_server_handling_seconds_count{${labels}}`, 1]);
    const requests = started.lines.filter(({ msg }) => msg === 'request');
    expect(requests).toMatchObject([{ method: countedAs, status: code, durationMs: expect.any(Number) }]);
  });

  test('a request without a token, and one whose client has left, are counted and logged once', async () => {
    const store = await temporaryStore([plain]);
    const tokensFile = join(store, 'tokens.json');
    const sha256 = createHash('sha256').update('key').digest('hex');
    await writeFile(tokensFile, JSON.stringify([{ name: 'x', sha256 }]));
    const started = await startHttp({ store, tokensFile, requestLogEvery: 1 });
    const body = JSON.stringify({ model: 'plain', observation });
    expect((await fetch(started.url('Act'), { method: 'POST', headers: json, body })).status).toBe(401);
    // It promises more than it sends.
    const socket = connect(started.server.httpPort!, '127.0.0.1');
    const path = '/hyperpolicy.v1.PolicyService/GetModel';
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer key\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{`,
    );
    const startedCount = `grpc_server_started_total{grpc_type="unary",grpc_service="hyperpolicy.v1.PolicyService",grpc_method="GetModel"}`;
    while ((await metricLines(started, startedCount))[startedCount] !== 1);
    socket.destroy();
    const read = async () => {
      const handled = await metricLines(started, 'grpc_server_handled_total');
      return Object.entries(handled).flatMap(([name, value]) =>
        value > 0 ? [/method="(\w+)",grpc_code="(\w+)"/.exec(name)!.slice(1)] : [],
      );
    };
    let counted = await read();
    while (counted.length < 2) counted = await read();
    expect(counted).toEqual(
      expect.arrayContaining([
        ['Act', 'Unauthenticated'],
        ['GetModel', 'Canceled'],
      ]),
    );
    expect(started.lines.filter(({ msg }) => msg === 'request')).toMatchObject([
      { method: 'Act', status: 'UNAUTHENTICATED' },
      { method: 'GetModel', status: 'CANCELLED' },
    ]);
  });

  const fields: Readonly<Record<string, string>> = {
    Act: 'model, version, label, clientId, observation, context, contextHandle, ',
    QGrad: 'model, version, label, ',
    Adapt: 'model, version, label, ',
    Prepare: 'model, version, label, ',
    ListModels: '',
    GetModel: 'model, version, label',
  };
  test.each(Object.keys(fields))(
    '%s refuses a field that it does not have, and what is no JSON object',
    async (method) => {
      const { post } = await startHttp();
      const unknown = await post(method, { lable: 'canary' });
      expect(unknown).toMatchObject({ status: 400, body: { code: 'invalid_argument' } });
      const expected = fields[method] === '' ? 'no field' : 'fields among model, ';
      expect(unknown.body.message).toMatch(new RegExp(`^${method}: expected ${expected}.*, got "lable"$`));
      for (const [body, text] of [
        ['[1]', `${method}: expected a JSON object, got [1]`],
        ['null', `${method}: expected a JSON object, got null`],
        ['{"model": ', `${method} body: expected JSON, got text that is none (`],
        ['', `${method} body: expected JSON, got text that is none (`],
      ] as const) {
        const refused = await post(method, body);
        expect(refused).toMatchObject({ status: 400, body: { code: 'invalid_argument' } });
        expect(refused.body.message).toContain(text);
      }
    },
  );

  const action = { shape: [2], data: base64(0, 0) };
  const fallbacks = 'FALLBACK_UNSPECIFIED, FALLBACK_ERROR, FALLBACK_SAFE, FALLBACK_HOLD';
  test.each<[string, object, string]>([
    ['Act', { fallback: 'SAFE', budgetUs: 9 }, `Act fallback: expected one of ${fallbacks}, got "SAFE"`],
    ['Act', { fallback: 9, budgetUs: 9 }, 'Act fallback: expected error, safe or hold (1, 2 or 3), got 9'],
    [
      'Act',
      { observation: { ...observation, dtype: 'x' } },
      'Act observation: expected fields among shape, data, got "dtype"',
    ],
    [
      'Act',
      { observation: { shape: [-1], data: '' } },
      'Act observation.shape: expected a list of values, each an integer in [0, 2^32), got [-1]',
    ],
    ['Act', { observation: { shape: [3], data: '%' } }, 'Act observation.data: expected a text in base64, got "%"'],
    ['Act', { observation: [1, 2] }, 'Act observation: expected a JSON object, got [1,2]'],
    ['Act', { sample: 'yes' }, 'Act sample: expected true or false, got "yes"'],
    ['Act', { seed: -1 }, 'Act seed: expected an integer in [0, 2^64), as a number or a text, got -1'],
    ['Act', { model: 7 }, 'Act model: expected a text, got 7'],
    ['Act', { version: 1.5 }, 'Act version: expected an integer in [0, 2^32), got 1.5'],
    [
      'Act',
      { version: 1, label: 'a' },
      'Act body: expected a hyperpolicy.v1.ActRequest, got a field twice, or two of which only one may be given',
    ],
    ['Act', { version: 1, label: 'a' }, 'only one may be given. Give one of version and label'],
    [
      'QGrad',
      { action, reduction: 'mean' },
      'QGrad reduction: expected one of REDUCTION_UNSPECIFIED, REDUCTION_Q1, REDUCTION_MIN, REDUCTION_MEAN, got "mean"',
    ],
    ['QGrad', { action, reduction: 9 }, 'QGrad reduction: expected q1, min or mean (1, 2 or 3), got 9'],
    ['QGrad', { action, ascend: { stepCount: 5 } }, ', got "ascend"'],
    ['QGrad', { action, ascent: { steps: 5 } }, 'QGrad ascent: expected fields among stepCount, '],
    [
      'Prepare',
      { pinning: 'PIN' },
      'Prepare pinning: expected one of PINNING_UNSPECIFIED, PINNING_PIN, PINNING_UNPIN, got "PIN"',
    ],
    ['Prepare', { observation, pinning: 9 }, 'Prepare pinning: expected '],
    ['Adapt', { transitions: [{ reward: 'x' }] }, 'Adapt'],
  ])('%s with %j is refused, naming the field and what was expected', async (method, body, text) => {
    const { post } = await startHttp();
    const refused = await post(method, { model: 'plain', ...(method !== 'Adapt' && { observation }), ...body });
    expect(refused.body.message).toContain(text);
    expect(refused).toMatchObject({ status: 400, body: { code: 'invalid_argument' } });
  });

  const proto = { 'content-type': 'application/proto' };
  test.each<[string, Record<string, string>, string | Uint8Array<ArrayBuffer>, string]>([
    [
      'bytes that are no message',
      proto,
      new Uint8Array([255, 255]),
      'Act body: expected a hyperpolicy.v1.ActRequest message, got 2 bytes that do not parse as one',
    ],
    [
      'bytes that are not gzip',
      { ...json, 'content-encoding': 'gzip' },
      '{}',
      'Act body: expected gzip data, got bytes that do not decompress',
    ],
    [
      'half of a gzip file',
      { ...json, 'content-encoding': 'gzip' },
      new Uint8Array(gzipSync('{"model":"plain"}').subarray(0, 20)),
      'Act body: expected gzip data, got bytes that do not decompress',
    ],
    [
      'bytes that are not brotli',
      { ...json, 'content-encoding': 'br' },
      'xyz',
      'Act body: expected br data, got bytes that do not decompress',
    ],
    [
      'another field, compressed',
      { ...json, 'content-encoding': 'gzip' },
      new Uint8Array(gzipSync('{"x":1}')),
      'Act: expected fields among ',
    ],
    [
      'a timeout that is no number',
      { ...json, 'connect-timeout-ms': '1s' },
      '{}',
      'Act connect-timeout-ms: expected milliseconds in at most 10 digits, got "1s"',
    ],
    ['text that is not UTF-8', json, new Uint8Array([34, 255, 34]), 'Act body: expected JSON, got text that is none ('],
  ])('%s: the client is told, and nothing is INTERNAL', async (_, headers, body, text) => {
    const { url, lines } = await startHttp();
    const response = await fetch(url('Act'), { method: 'POST', headers, body });
    const refused = (await response.json()) as { code: string; message: string };
    expect(refused).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(text) });
    expect(response.status).toBe(400);
    expect(lines.filter(({ msg }) => msg === 'internal fault')).toEqual([]);
  });

  /** The status line of an answer to a request with this host; '' where the connection ends without one. */
  const statusFor = (
    port: number,
    host: string,
    { path = '/hyperpolicy.v1.PolicyService/ListModels', version = '1.1' } = {},
  ) =>
    new Promise<string>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.write(
          `POST ${path} HTTP/${version}\r\n${host}content-type: application/json\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}`,
        );
      });
      let text = '';
      socket.on('data', (data) => {
        text += data;
      });
      socket.once('close', () => resolve(text.split(' ')[1] ?? ''));
      socket.once('error', () => {});
    });

  test('a host that is not this server is refused on both HTTP ports, and none ends the process', async () => {
    const { server } = await startHttp({ httpHosts: ['Robots.example'] });
    const own = [
      '127.0.0.1',
      '127.0.0.1:8080',
      '[::1]:80',
      'localhost',
      'LocalHost.',
      hostname(),
      'robots.example:443',
    ];
    for (const host of own)
      expect([host, await statusFor(server.httpPort!, `host: ${host}\r\n`)]).toEqual([host, '200']);
    for (const host of ['evil.example', 'localhost.evil.example', '[', 'a b']) {
      expect([host, await statusFor(server.httpPort!, `host: ${host}\r\n`)]).toEqual([host, '421']);
      const page = await statusFor(server.metricsPort, `host: ${host}\r\n`, { path: '/metrics' });
      expect([host, page]).toEqual([host, '421']);
    }
    // Only HTTP/1.0 may leave it out. Such requests have no URL for the library.
    expect(await statusFor(server.httpPort!, '', { version: '1.0' })).toBe('400');
    for (const host of ['', 'localhost:99999']) {
      expect([host, await statusFor(server.httpPort!, `host: ${host}\r\n`)]).toEqual([host, '400']);
    }
    expect(await statusFor(server.httpPort!, 'host: localhost\r\n')).toBe('200');
  });

  test('a call whose time is over when it comes is late, not cancelled; the stream is refused with its reason', async () => {
    const { post } = await startHttp();
    const late = await post('Act', { model: 'plain', observation }, { 'connect-timeout-ms': '0' });
    expect([late.status, late.body.code]).toEqual([504, 'deadline_exceeded']);
    const path = '/hyperpolicy.v1.PolicyService';
    expect((await post('ActStream', {})).body).toEqual({
      code: 'unimplemented',
      message: `HTTP port: expected a path ${path}/METHOD of an RPC with one answer, got "${path}/ActStream"`,
    });
  });

  test('paths that nobody serves make no labels', async () => {
    const started = await startHttp();
    const before = Object.keys(await metricLines(started, 'grpc_server_')).length;
    for (const path of ['a', 'b', 'Act/c', 'Act?d=e']) await fetch(started.url(path), { method: 'POST' });
    expect(Object.keys(await metricLines(started, 'grpc_server_'))).toHaveLength(before);
  });

  test('a drain answers what is under way or sent, ends each connection with its answer, and waits for no silent one', async () => {
    const drainMs = 60_000;
    const started = await startHttp({ drainMs });
    const body = JSON.stringify({ model: 'plain', observation });
    const request = `POST /hyperpolicy.v1.PolicyService/Act HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    /** A connection, and what came over it until its end. */
    const open = async () => {
      const socket = connect(started.server.httpPort!, '127.0.0.1');
      let text = '';
      const ended = new Promise<string>((resolve) => {
        socket.on('error', (error) => resolve(`${error}`)).on('close', () => resolve(text));
      });
      socket.on('data', (data) => {
        text += data;
      });
      const answered = (count: number) => vi.waitFor(() => expect(text.split('200 OK')).toHaveLength(count + 1));
      await once(socket, 'connect');
      return { socket, ended, answered };
    };
    const [underWay, sent, idle, silent] = [await open(), await open(), await open(), await open()];
    for (const { socket, answered } of [underWay, sent, idle]) {
      socket.write(request);
      await answered(1);
    }
    underWay.socket.write(request.slice(0, -10));
    const startedAct = `grpc_server_started_total{grpc_type="unary",grpc_service="hyperpolicy.v1.PolicyService",grpc_method="Act"}`;
    while ((await metricLines(started, startedAct))[startedAct] !== 4);
    sent.socket.write(request);
    const beginMs = performance.now();
    const stopped = started.server.stop();
    const first = await sent.ended;
    underWay.socket.write(request.slice(-10));
    for (const text of [first, await underWay.ended]) {
      const heads = text.split('HTTP/1.1 200 OK').slice(1);
      expect(heads.map((head) => /^connection: (.*)\r$/im.exec(head)?.[1])).toEqual(['keep-alive', 'close']);
    }
    expect((await idle.ended).split('200 OK')).toHaveLength(2);
    expect(await silent.ended).toBe('');
    await stopped;
    expect(performance.now() - beginMs).toBeLessThan(drainMs / 2);
  });

  test('counts beside gRPC and is off unless asked for', async () => {
    const { server } = await startTestServer([plain]);
    expect(server.httpPort).toBeUndefined();
  });
});
