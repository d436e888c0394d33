import { rm } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { ServerSettings } from '../../../server/config.ts';
import { startCollector } from '../collector.ts';
import { startTestServer, temporaryStore } from '../fixtures.ts';

const hyper = {
  model: 'hyper',
  policy: 'hyper',
  critic: 'plain',
  observationSize: 3,
  actionSize: 2,
  contextSize: 2,
  hiddenSize: 8,
  trunkSizes: [16],
  encoder: true,
} as const;
const observation = [0.5, 0.25, 0.125];

/** A server whose handles have nowhere to go, which is a fault. `fail` gives the error's text. */
async function startWithFault(settings: ServerSettings = {}) {
  const handleDirectory = await temporaryStore();
  const started = await startTestServer([hyper], { ...settings, handleDirectory });
  await rm(handleDirectory, { recursive: true });
  const fail = () => started.client.adapt({ model: 'hyper' }).then(() => undefined, String);
  return { ...started, fail };
}

describe('the request log', () => {
  test('has a line for each request where asked, with what it was and how it went, and no tensors', async () => {
    const { client, lines } = await startTestServer([hyper], { requestLogEvery: 1 });
    await client.act({ model: 'hyper', observation: [observation, observation], context: [7, 9] });
    await client.qGrad({ model: 'hyper', observation, action: [0, 0] });
    await client.act({ model: 'nope', observation }).catch(() => {});
    const requests = lines.filter(({ msg }) => msg === 'request');
    const common = { level: 30, durationMs: expect.any(Number), requestId: expect.stringMatching(/^[0-9a-f]{16}$/) };
    expect(requests).toMatchObject([
      { ...common, method: 'Act', status: 'OK', model: 'hyper', version: 1, rowCount: 2 },
      { ...common, method: 'QGrad', status: 'OK', model: 'hyper', version: 1, rowCount: 1 },
      { ...common, method: 'Act', status: 'NOT_FOUND' },
    ]);
    const known = ['level', 'time', 'pid', 'hostname', 'msg', 'method', 'status', 'model', 'version', 'rowCount'];
    for (const line of requests) {
      const others = Object.keys(line).filter((name) => !known.includes(name));
      expect(others.sort()).toEqual(['durationMs', 'requestId']);
    }
    expect(new Set(requests.map(({ requestId }) => requestId)).size).toBe(3);
    expect(requests[0]!.durationMs).toBeGreaterThan(0);
  });

  test('has one of N, and each that fails with INTERNAL under the id that the client was told', async () => {
    const { client, lines, fail } = await startWithFault({ requestLogEvery: 5 });
    const requests = () => lines.filter(({ msg }) => msg === 'request');
    for (let i = 0; i < 11; i++) await client.act({ model: 'hyper', observation, context: [1, 2] });
    // Of requests 1 to 11: the first, the sixth and the eleventh.
    expect(requests()).toHaveLength(3);
    const failure = await fail();
    const id = /internal fault of the server, request ([0-9a-f]{16})/.exec(failure!)?.[1];
    expect(id).toBeDefined();
    const about = { method: 'Adapt', requestId: id, model: 'hyper', version: 1, rowCount: 0 };
    expect(requests().slice(3)).toMatchObject([{ ...about, level: 50, status: 'INTERNAL' }]);
    expect(lines.find(({ msg }) => msg === 'internal fault')).toMatchObject({
      ...about,
      err: { message: expect.stringContaining('ENOENT') },
    });
  });

  test('has each message of a stream, the refused ones too', async () => {
    const { client, lines } = await startTestServer([hyper], { requestLogEvery: 1 });
    const stream = client.actStream({ model: 'hyper' });
    await stream.act({ observation, context: [1, 2] });
    await stream.act({ observation: [1], context: [1, 2] }).catch(() => {});
    await stream.close();
    expect(lines.filter(({ msg }) => msg === 'request')).toMatchObject([
      { method: 'ActStream', status: 'OK', rowCount: 1 },
      { method: 'ActStream', status: 'INVALID_ARGUMENT' },
    ]);
  });

  test('names the trace of a request that has one', async () => {
    const { endpoint, spans } = await startCollector();
    const { client, lines, server } = await startTestServer([hyper], { requestLogEvery: 1, traceEndpoint: endpoint });
    await client.act({ model: 'hyper', observation, context: [1, 2] });
    await server.stop();
    const { traceId } = lines.find(({ msg }) => msg === 'request')!;
    expect(traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(spans.map((span) => span.traceId)).toContain(traceId);
  });

  test('is off unless asked for; a fault is logged all the same', async () => {
    const { client, lines, fail } = await startWithFault();
    await client.act({ model: 'hyper', observation, context: [1, 2] });
    await fail();
    expect(lines.filter(({ msg }) => msg === 'request')).toEqual([]);
    expect(lines.filter(({ msg }) => msg === 'internal fault')).toMatchObject([{ method: 'Adapt' }]);
  });
});
