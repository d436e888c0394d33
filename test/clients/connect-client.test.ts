/** The client over HTTP: the answers and errors of the client over gRPC, and what only HTTP can do to it. */

import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createConnectClient, type PolicyClient } from '../../clients/typescript/index.ts';
import { sha1 } from '../../clients/typescript/sha1.ts';
import { startTestServer } from '../server/fixtures.ts';

const size = { observationSize: 3, actionSize: 2, hiddenSize: 8 };
const observation = [1, 2, 3];
let grpc: PolicyClient;
let url: string;
beforeAll(async () => {
  const packages = [{ model: 'm', policy: 'plain', critic: 'plain', ...size }] as const;
  const { server, client } = await startTestServer(packages, { httpPort: 0 }, afterAll);
  grpc = client;
  url = `http://127.0.0.1:${server.httpPort}`;
});

/** What a call is refused with. */
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => 'an answer',
    (error: Error) => error.message,
  );

test('answers as the client over gRPC does', async () => {
  const client = createConnectClient({ url: `${url}/`, timeoutMs: 30_000 });
  const { timing, weightAgeMs, ...result } = await client.act({ model: 'm', observation, sequence: 7n });
  const { timing: _, weightAgeMs: __, ...expected } = await grpc.act({ model: 'm', observation, sequence: 7n });
  expect(result).toEqual(expected);
  expect(weightAgeMs).toBeGreaterThanOrEqual(0);
  expect(timing.totalUs).toBeGreaterThan(0);
  const action = [0, 0];
  expect((await client.qGrad({ model: 'm', observation, action })).dqDa).toEqual(
    (await grpc.qGrad({ model: 'm', observation, action })).dqDa,
  );
  expect(await client.getModel({ model: 'm' })).toEqual(await grpc.getModel({ model: 'm' }));
  expect((await client.listModels()).map(({ model }) => model)).toEqual(['m']);
  expect(await refusal(client.act({ model: 'no', observation }))).toBe(
    await refusal(grpc.act({ model: 'no', observation })),
  );
});

test('falls back to the held and to the safe action where there is no server any more', async () => {
  const relay = await answering(async (request, response) => {
    const { body, headers } = await relayed(request);
    response.writeHead(200, headers).end(body);
  });
  const client = createConnectClient({ url: relay.url, timeoutMs: 30_000 });
  const asked = { model: 'm', observation, clientId: 'robot', fallback: 'hold' } as const;
  const { action } = await client.act(asked);
  await relay.stop();
  const held = await client.act(asked);
  expect(held).toMatchObject({ action, version: 1, fallback: { kind: 'hold', reason: 'unavailable' } });
  expect(await refusal(client.act({ model: 'm', observation }))).toBe(
    `Act: expected a server at ${relay.url}, got a refused connection. ` +
      'Start one with "hyperpolicy serve --http-port", or name another URL',
  );
});

/** The real server's answer. */
async function relayed(request: IncomingMessage) {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  const { host: _, connection: __, ...headers } = request.headers as Record<string, string>;
  const answer = await fetch(`${url}${request.url}`, { method: 'POST', headers, body: Buffer.concat(pieces) });
  return {
    body: Buffer.from(await answer.arrayBuffer()),
    headers: { 'content-type': answer.headers.get('content-type')! },
  };
}

async function answering(listener: RequestListener) {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  onTestFinished(stop);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop };
}

describe('what it cannot use is refused', () => {
  const proto = { 'content-type': 'application/proto' };
  test.each([
    [
      200,
      { 'content-type': 'text/html' },
      '<p>',
      /^Act: expected a hyperpolicy server at \S+, got a response of type "text\/html"/,
    ],
    [200, proto, 'text', /^Act: expected a hyperpolicy server at \S+, got a response that does not parse/],
    [200, proto, '', /^Act: expected a hyperpolicy server at \S+, got a response without action/],
    [502, { 'content-type': 'text/html' }, '<p>', /^Act: expected a server at \S+, got HTTP status 502\. /],
    [401, {}, '', /^Act: expected an answer, got HTTP status 401$/],
    // As of the port of the metrics.
    [405, {}, '', /^Act: expected a port with this method at \S+, got one without it\. /],
    [500, { 'content-type': 'application/json' }, '{"code":"internal","message":"x"}', /^Act: x$/],
    [500, { 'content-type': 'application/json' }, '[', /^Act: HTTP status 500$/],
  ])('%i, %o, %j', async (status, headers, body, said) => {
    const server = await answering((_, response) =>
      response.writeHead(status, headers as Record<string, string>).end(body),
    );
    const client = createConnectClient({ url: server.url, messageBytesMax: 1000, timeoutMs: 30_000 });
    expect(await refusal(client.act({ model: 'm', observation }))).toMatch(said);
  });

  test('an answer over the limit of bytes, which is read no further', async () => {
    let tellCut = () => {};
    const cut = new Promise<void>((resolve) => {
      tellCut = resolve;
    });
    const server = await answering((_, response) => {
      response.on('close', tellCut);
      // Its end never comes.
      response.writeHead(200, proto).write('x'.repeat(2000));
    });
    const client = createConnectClient({ url: server.url, messageBytesMax: 1000, timeoutMs: 5000 });
    expect(await refusal(client.act({ model: 'm', observation }))).toBe(
      `Act: expected a response of at most 1000 bytes from ${server.url}, got a longer one. Raise messageBytesMax of the client`,
    );
    await cut;
  });

  test('an answer of several pieces is read whole', async () => {
    const relay = await answering(async (request, response) => {
      const { body, headers } = await relayed(request);
      response.writeHead(200, headers);
      for (const byte of body) await new Promise<void>((resolve) => response.write(Buffer.of(byte), () => resolve()));
      response.end();
    });
    const client = createConnectClient({ url: relay.url, timeoutMs: 30_000 });
    expect((await client.act({ model: 'm', observation })).action).toEqual(
      (await grpc.act({ model: 'm', observation })).action,
    );
  });

  test('a connection that breaks in the middle of an answer', async () => {
    const server = await answering((_, response) => {
      response.writeHead(200, { ...proto, 'content-length': '100' });
      response.write('x', () => response.destroy());
    });
    const client = createConnectClient({ url: server.url, timeoutMs: 30_000 });
    expect(await refusal(client.act({ model: 'm', observation }))).toMatch(
      /^Act: expected a connection to \S+ that holds, got /,
    );
  });
});

describe('without an answer', () => {
  const silent = () => answering(() => {});

  test('a call ends with its timeout', async () => {
    const server = await silent();
    const client = createConnectClient({ url: server.url });
    expect(await refusal(client.act({ model: 'm', observation }, { timeoutMs: 20 }))).toBe(
      `Act: expected an answer of ${server.url} within 20 ms, got none`,
    );
  });

  test('with the reason of its signal', async () => {
    const server = await silent();
    const client = createConnectClient({ url: server.url });
    const control = new AbortController();
    const call = client.getModel({ model: 'm' }, { signal: control.signal });
    control.abort(new Error('mine'));
    expect(await refusal(call)).toBe('mine');
    expect(await refusal(client.getModel({ model: 'm' }, { signal: control.signal }))).toBe('mine');
  });

  test('and when the client is closed', async () => {
    const server = await silent();
    const client = createConnectClient({ url: server.url });
    const call = client.listModels();
    client.close();
    const closed = 'ListModels: expected an open client, got one that was closed. Create another';
    expect(await refusal(call)).toBe(closed);
    expect(await refusal(client.listModels())).toBe(closed);
  });
});

test('sends token, metadata and routing key', async () => {
  const seen: IncomingMessage['headers'][] = [];
  const server = await answering(({ headers }, response) => {
    seen.push(headers);
    response.writeHead(503).end();
  });
  const client = createConnectClient({ url: server.url, token: 'secret', metadata: { a: 'mine' } });
  await refusal(client.act({ model: 'm', observation, clientId: 'robot-1' }, { metadata: { b: 'own' } }));
  await refusal(client.act({ model: 'm', observation, context: [1, 2] }));
  await refusal(client.listModels());
  await refusal(client.listModels());
  expect(seen[0]).toMatchObject({ authorization: 'Bearer secret', a: 'mine', b: 'own' });
  const keys = seen.map((headers) => headers['hyperpolicy-routing-key']);
  const context = createHash('sha1').update(Float32Array.of(1, 2)).digest('base64url').slice(0, 16);
  expect(keys).toEqual(['robot-1', context, keys[2], keys[2]]);
  expect(keys[2]).toMatch(/^[0-9a-z-]{8,}$/);
});

test.each([
  ['127.0.0.1:50051', 'createConnectClient url: expected http://host:port or https://host:port, got "127.0.0.1:50051"'],
  ['http://a/?b', 'createConnectClient url: expected http://host:port or https://host:port, got "http://a/?b"'],
  [undefined, 'createConnectClient url: expected http://host:port or https://host:port, got none'],
])('refuses the URL %j', (given, text) => {
  expect(() => createConnectClient({ url: given as string })).toThrow(text);
});

test('its SHA-1 is that of others, at every length around a block', () => {
  for (let length = 0; length < 200; length++) {
    const bytes = randomBytes(length);
    expect(Buffer.from(sha1(bytes)).toString('hex')).toBe(createHash('sha1').update(bytes).digest('hex'));
  }
});
