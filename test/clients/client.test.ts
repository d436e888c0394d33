import grpc from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createPolicyClient, HyperpolicyError } from '../../clients/typescript/index.ts';
import { toTensor } from '../../clients/typescript/tensor.ts';
import { startTestServer } from '../server/fixtures.ts';

const plain = {
  model: 'plain',
  policy: 'plain',
  critic: 'plain',
  observationSize: 3,
  actionSize: 2,
  hiddenSize: 8,
} as const;

describe('the TypeScript client', () => {
  test('takes a row, rows, a typed array or a tensor, and gives the same action', async () => {
    const { client } = await startTestServer([plain]);
    const forms = [
      [1, 2, 3],
      [[1, 2, 3]],
      Float32Array.of(1, 2, 3),
      { shape: [1, 3], values: Float32Array.of(1, 2, 3) },
    ];
    const actions = [];
    for (const observation of forms) actions.push((await client.act({ model: 'plain', observation })).action);
    for (const action of actions) expect(action).toEqual(actions[0]);
    expect(actions[0]!.shape).toEqual([1, 2]);
  });

  test("throws the server's error with its kind, fields and text", async () => {
    const { client } = await startTestServer([plain]);
    const error = await client.act({ model: 'plain', observation: [1, 2] }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(HyperpolicyError);
    expect(error).toMatchObject({
      kind: 'invalid_argument',
      where: 'Act observation',
      expected: '3 values per row for model "plain"',
      actual: 'shape [2]',
      message: 'Act observation: expected 3 values per row for model "plain", got shape [2]',
    });
    const batch = Array.from({ length: 5000 }, () => [0, 0, 0]);
    await expect(client.act({ model: 'plain', observation: batch })).rejects.toMatchObject({
      remedy: 'Split the batch',
    });
  });

  test('says where it found no server', async () => {
    const client = createPolicyClient({ address: '127.0.0.1:1' });
    onTestFinished(() => client.close());
    await expect(client.listModels()).rejects.toMatchObject({
      kind: 'unavailable',
      message:
        'ListModels: expected a server at 127.0.0.1:1, got a refused connection. Start one with "hyperpolicy serve", or name another address',
    });
  });

  test('rejects, and does not throw, where a response does not parse', async () => {
    const server = new grpc.Server();
    onTestFinished(() => server.forceShutdown());
    const bytes = (value: Buffer) => value;
    const method = (path: string) => ({
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: bytes,
      requestDeserialize: bytes,
      responseSerialize: bytes,
      responseDeserialize: bytes,
    });
    server.addService(
      { listModels: method('/hyperpolicy.v1.PolicyService/ListModels') },
      { listModels: (_call: unknown, answer: grpc.sendUnaryData<Buffer>) => answer(null, Buffer.from([0xff, 0xff])) },
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    const client = createPolicyClient({ address: `127.0.0.1:${port}` });
    onTestFinished(() => client.close());
    await expect(client.listModels()).rejects.toThrow(
      `ListModels: expected a hyperpolicy server at 127.0.0.1:${port}, got a response that does not parse`,
    );
  });

  test('gives up at its timeout and at an abort', async () => {
    // Accepts connections and never answers.
    const { createServer } = await import('node:net');
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      silent.close();
    });
    const address = `127.0.0.1:${(silent.address() as { port: number }).port}`;
    const client = createPolicyClient({ address, timeoutMs: 50 });
    onTestFinished(() => client.close());
    await expect(client.listModels()).rejects.toMatchObject({
      kind: 'deadline_exceeded',
      message: expect.stringContaining(`ListModels: expected an answer of ${address} within 50 ms, got none`),
    });
    const abort = new AbortController();
    const call = client.listModels({ timeoutMs: 10_000, signal: abort.signal });
    abort.abort(new Error('changed my mind'));
    await expect(call).rejects.toThrow('changed my mind');
    await expect(client.listModels({ signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before');
  });

  test('lists and describes models', async () => {
    const { client } = await startTestServer([plain]);
    expect(await client.listModels()).toMatchObject([{ model: 'plain', versions: [1] }]);
    const described = await client.getModel({ model: 'plain', version: 1 });
    expect(described).toMatchObject({ model: 'plain', version: 1, policy: { architecture: 'mlp', stochastic: false } });
    const { fingerprint } = described;
    expect((await client.act({ model: 'plain', fingerprint, observation: [0, 0, 0] })).version).toBe(1);
  });
});

describe('toTensor', () => {
  test('refuses rows of different length', () => {
    expect(() => toTensor('observation', [[1, 2], [3]])).toThrow(
      'observation: expected 2 values in every row, got 1 in row 1',
    );
  });

  test('keeps an empty list as an empty row, for the server to refuse', () => {
    expect(toTensor('observation', [])).toEqual({ shape: [0], values: new Float32Array(0) });
  });
});
