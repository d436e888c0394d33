/** What a caller gives is checked and named before anything is sent: these programs have no compiler. */

import { describe, expect, onTestFinished, test } from 'vitest';
import { createAdminClient, createPolicyClient, HyperpolicyError, toTensor } from '../../clients/typescript/index.ts';

/** As JavaScript sees it. */
// biome-ignore lint/suspicious/noExplicitAny: wrong on purpose
type Anything = any;

const address = '127.0.0.1:1';
function clientOf(): Anything {
  const client = createPolicyClient({ address });
  onTestFinished(() => client.close());
  return client;
}
const observation = [1, 2, 3];
const forms = 'a Float32Array, an array of numbers, an array of equally long rows, or { shape, values: Float32Array }';

describe('tensors', () => {
  const values = Float32Array.of(1, 2, 3);
  test.each<[string, unknown, string]>([
    [
      '{ shape, data }',
      { shape: [1, 3], data: values },
      't.values: expected a Float32Array, got an object with shape, data. Rename data to values',
    ],
    ['{ data }', { data: values }, `t: expected ${forms}, got an object with data`],
    ['nothing', undefined, `t: expected ${forms}, got none`],
    ['null', null, `t: expected ${forms}, got null`],
    ['a number', 3, `t: expected ${forms}, got 3`],
    ['a text', '1,2,3', `t: expected ${forms}, got "1,2,3"`],
    ['float64', Float64Array.of(1), `t: expected ${forms}, got a Float64Array. Convert it with Float32Array.from`],
    ['bytes', Buffer.from([1]), `t: expected ${forms}, got a Buffer. Convert it with Float32Array.from`],
    ['a promise', Promise.resolve(values), `t: expected ${forms}, got a Promise`],
    ['a function', () => values, `t: expected ${forms}, got a function`],
    ['a list as values', { shape: [1], values: [1] }, 't.values: expected a Float32Array, got an array of 1'],
    ['no shape', { shape: null, values }, 't.shape: expected one or two sizes, got null'],
    ['an empty shape', { shape: [], values }, 't.shape: expected one or two sizes, got []'],
    ['three sizes', { shape: [1, 1, 3], values }, 't.shape: expected one or two sizes, got [1, 1, 3]'],
    ['half a size', { shape: [1.5, 2], values }, 't.shape: expected one or two sizes, got [1.5, 2]'],
    ['a size below 0', { shape: [-1, -3], values }, 't.shape: expected one or two sizes, got [-1, -3]'],
    ['a size as text', { shape: ['3'], values }, 't.shape: expected one or two sizes, got ["3"]'],
    ['too few values', { shape: [2, 3], values }, 't.values: expected 6 values for shape [2, 3], got 3'],
    ['NaN', [1, Number.NaN], 't[1]: expected a number that is finite in float32, got NaN'],
    ['infinity in a row', [[1], [Infinity]], 't[1][0]: expected a number that is finite in float32, got Infinity'],
    ['beyond float32', [1e39], 't[0]: expected a number that is finite in float32, got 1e+39'],
    ['NaN in a Float32Array', Float32Array.of(1, NaN), 't[1]: expected a number that is finite in float32, got NaN'],
    ['a text inside', [1, '2'], 't[1]: expected a number, got "2"'],
    ['nothing inside', [1, undefined], 't[1]: expected a number, got none'],
    ['a hole', new Array(2), 't[0]: expected a number, got none'],
    ['a bigint', [1n], 't[0]: expected a number, got 1n'],
    ['a row that is none', [[1], 2], 't[1]: expected an array of numbers, got 2'],
    ['rows within rows', [[[1]]], 't[0][0]: expected a number, got an array of 1'],
    ['rows of different length', [[1, 2], [3]], 't: expected 2 values in every row, got 1 in row 1'],
  ])('%s', (_, given, message) => {
    expect(() => toTensor('t', given as Anything)).toThrow(HyperpolicyError);
    expect(() => toTensor('t', given as Anything)).toThrow(message);
  });
});

describe('requests', () => {
  const good = { model: 'm', observation };
  test.each<[string, string, unknown[], string | RegExp]>([
    ['act', 'nothing', [], 'Act: expected an object of options, got none'],
    ['act', 'a list', [[1]], 'Act: expected an object of options, got an array of 1'],
    ['act', 'no model', [{ observation }], 'Act model: expected the name of a model, got none'],
    ['act', 'no observation', [{ model: 'm' }], `Act observation: expected ${forms}, got none`],
    [
      'act',
      'data',
      [{ model: 'm', observation: { data: [1], shape: [1] } }],
      'Act observation.values: expected a Float32Array, got an object with data, shape. Rename data to values',
    ],
    ['act', 'a slip', [{ ...good, fallbak: 'safe' }], /^Act: expected options among model, .*, got "fallbak"$/],
    [
      'act',
      'a version as text',
      [{ ...good, version: '1' }],
      'Act version: expected an integer from 1 to 4294967295, got "1"',
    ],
    ['act', 'version 0', [{ ...good, version: 0 }], 'Act version: expected an integer from 1 to 4294967295, got 0'],
    [
      'act',
      'version and label',
      [{ ...good, version: 1, label: 'a' }],
      'Act: expected one of version and label, got both',
    ],
    [
      'act',
      'context and handle',
      [{ ...good, context: [1], contextHandle: 'a' }],
      'Act: expected one of context and contextHandle, got both',
    ],
    [
      'act',
      'a seed below 0',
      [{ ...good, seed: -1 }],
      'Act seed: expected an integer from 0 to 9007199254740991, got -1',
    ],
    ['act', 'sample as text', [{ ...good, sample: 'no' }], 'Act sample: expected true or false, got "no"'],
    [
      'act',
      'half a budget',
      [{ ...good, budgetUs: 0.5 }],
      'Act budgetUs: expected an integer from 0 to 4294967295, got 0.5',
    ],
    ['act', 'a rule', [{ ...good, fallback: 'last' }], 'Act fallback: expected one of error, safe, hold, got "last"'],
    [
      'act',
      'a number as sequence',
      [{ ...good, sequence: 1 }],
      'Act sequence: expected a bigint from 0n to 2n ** 64n - 1n, got 1',
    ],
    [
      'act',
      'a long client',
      [{ ...good, clientId: 'x'.repeat(257) }],
      /^Act clientId: expected at most 256 bytes, got "xxx/,
    ],
    [
      'act',
      'a time as text',
      [good, { timeoutMs: '5s' }],
      'Act timeoutMs: expected a number of milliseconds above 0, got "5s"',
    ],
    ['act', 'no time', [good, { timeoutMs: 0 }], 'Act timeoutMs: expected a number of milliseconds above 0, got 0'],
    ['act', 'NaN', [good, { timeoutMs: NaN }], 'Act timeoutMs: expected a number of milliseconds above 0, got NaN'],
    ['act', 'an age', [good, { ageMsMax: -1 }], 'Act ageMsMax: expected a number of milliseconds above 0, got -1'],
    ['act', 'a signal', [good, { signal: {} }], 'Act signal: expected an AbortSignal, got an empty object'],
    ['act', 'a header', [good, { metadata: { 'X-A': 'a' } }], /^Act metadata: expected names of a-z .*, got "X-A"$/],
    [
      'act',
      'a header’s value',
      [good, { metadata: { a: 'ä' } }],
      'Act metadata a: expected a text of printable ASCII characters, got "ä"',
    ],
    ['qGrad', 'no action', [good], `QGrad action: expected ${forms}, got none`],
    [
      'qGrad',
      'a reduction',
      [{ ...good, action: [1], reduction: 'max' }],
      'QGrad reduction: expected one of q1, min, mean, got "max"',
    ],
    [
      'qGrad',
      'an ascent',
      [{ ...good, action: [1], ascent: { steps: 3 } }],
      'QGrad ascent: expected options among stepCount, stepSize, got "steps"',
    ],
    ['adapt', 'nothing', [], 'Adapt: expected an object of options, got none'],
    ['adapt', 'a reward', [{ model: 'm', reward: 1 }], `Adapt reward: expected ${forms}, got 1`],
    [
      'adapt',
      'a length',
      [{ model: 'm', episodeLengths: 3 }],
      'Adapt episodeLengths: expected an array of counts, got 3',
    ],
    [
      'adapt',
      'no length',
      [{ model: 'm', episodeLengths: [0] }],
      'Adapt episodeLengths[0]: expected an integer from 1 to 4294967295, got 0',
    ],
    ['prepare', 'both', [{ ...good, context: [1] }], 'Prepare: expected one of context and observation, got both'],
    ['prepare', 'a pinning', [{ ...good, pinning: true }], 'Prepare pinning: expected one of pin, unpin, got true'],
    ['getModel', 'a name alone', ['m'], 'GetModel: expected an object of options, got "m"'],
    ['getModel', 'nothing', [], 'GetModel: expected an object of options, got none'],
    [
      'listModels',
      'a time',
      [{ timeoutMs: -5 }],
      'ListModels timeoutMs: expected a number of milliseconds above 0, got -5',
    ],
    ['listModels', 'null', [null], 'ListModels options: expected an object of options, got null'],
  ])('%s: %s', async (method, _, given, message) => {
    const promise = clientOf()[method](...given);
    await expect(promise).rejects.toMatchObject({ kind: 'invalid_argument' });
    await expect(promise).rejects.toThrow(message);
  });
});

describe('streams', () => {
  test.each<[string, unknown, string | RegExp]>([
    ['nothing', undefined, 'ActStream: expected an object of options, got none'],
    ['no model', {}, 'ActStream model: expected the name of a model, got none'],
    ['a slip', { model: 'm', resumes: true }, /^ActStream: expected options among .*, got "resumes"$/],
    ['resume', { model: 'm', resume: 1 }, 'ActStream resume: expected true or false, got 1'],
    ['a listener', { model: 'm', onEvent: {} }, 'ActStream onEvent: expected a function, got an empty object'],
    [
      'a time',
      { model: 'm', timeoutMs: '1' },
      'ActStream timeoutMs: expected a number of milliseconds above 0, got "1"',
    ],
  ])('%s', (_, given, message) => {
    expect(() => clientOf().actStream(given)).toThrow(message);
  });

  test('a request never throws at once', async () => {
    const stream = clientOf().actStream({ model: 'm' });
    for (const request of [undefined, null, {}, { observation: 'x' }, { observation, seed: 'x' }]) {
      await expect(stream.act(request)).rejects.toMatchObject({ kind: 'invalid_argument' });
    }
    await expect(stream.act({ observation }, { timeout: 5 })).rejects.toThrow(
      'Act options: expected options among timeoutMs, ageMsMax, signal, got "timeout"',
    );
  });
});

describe('options', () => {
  test.each<[string, unknown, string]>([
    ['a Map', new Map([['timeoutMs', 5]]), 'a Map'],
    ['a signal', AbortSignal.timeout(1), 'a AbortSignal'],
    ['a promise', Promise.resolve({}), 'a Promise'],
    ['a time', 5000, '5000'],
    ['null', null, 'null'],
  ])('%s in place of them is refused, not passed over', async (_, given, actual) => {
    const client = clientOf();
    const message = `options: expected an object of options, got ${actual}`;
    await expect(client.act({ model: 'm', observation }, given)).rejects.toThrow(`Act ${message}`);
    await expect(client.getModel({ model: 'm' }, given)).rejects.toThrow(`GetModel ${message}`);
    await expect(client.actStream({ model: 'm' }).act({ observation }, given)).rejects.toThrow(`Act ${message}`);
    const admin: Anything = createAdminClient({ address });
    onTestFinished(() => admin.close());
    await expect(admin.setTraffic('m', given)).rejects.toThrow(
      `SetTraffic percentages: expected an object of percentages by label, got ${actual}`,
    );
    expect(() => createPolicyClient({ address, metadata: given as Anything })).toThrow(
      `createPolicyClient metadata: expected an object of texts by name, got ${actual}`,
    );
  });

  test.each([10n, Symbol('b'), { us: 1 }])('a budget of another type is named: %s', async (budgetUs) => {
    await expect(clientOf().actStream({ model: 'm' }).act({ observation, budgetUs })).rejects.toThrow(
      'Act budgetUs: expected an integer from 0 to 4294967295, got',
    );
  });
});

describe('clients', () => {
  const where = 'createPolicyClient';
  test.each<[string, unknown, string | RegExp]>([
    ['nothing', undefined, `${where}: expected an object of options, got none`],
    ['a text', address, `${where}: expected an object of options, got "127.0.0.1:1"`],
    ['no address', {}, `${where} address: expected host:port, such as 127.0.0.1:50051 or [::1]:50051, got none`],
    ['a URL', { address: 'http://a:1' }, /^createPolicyClient address: expected host:port.*got "http:\/\/a:1"$/],
    ['port 0', { address: 'a:0' }, /^createPolicyClient address: expected host:port/],
    ['a slip', { address, adress: 1 }, /^createPolicyClient: expected options among address, .*, got "adress"$/],
    [
      'a limit',
      { address, messageBytesMax: '1' },
      `${where} messageBytesMax: expected an integer from 1 to 2147483647, got "1"`,
    ],
    ['a ping', { address, keepaliveMs: -1 }, `${where} keepaliveMs: expected a number of milliseconds from 0, got -1`],
    ['a time', { address, timeoutMs: '5' }, `${where} timeoutMs: expected a number of milliseconds above 0, got "5"`],
    [
      'a path in TLS',
      { address, tls: { authority: 'ca.pem' } },
      `${where} tls.authority: expected a Buffer with PEM, got "ca.pem". Read the file: readFileSync(name)`,
    ],
    [
      'no PEM',
      { address, tls: { authority: Buffer.from('x') } },
      /^createPolicyClient tls.authority: expected a Buffer with PEM, got a Buffer/,
    ],
    [
      'half a pair',
      { address, tls: { key: Buffer.from('-----BEGIN X') } },
      `${where} tls: expected certificate and key, or neither, got no certificate`,
    ],
  ])('%s', (_, given, message) => {
    expect(() => createPolicyClient(given as Anything)).toThrow(message);
  });

  test('a token that fits no header is not shown', () => {
    const make = () => createPolicyClient({ address, token: 'secret\n' });
    expect(make).toThrow(
      'createPolicyClient token: expected printable ASCII characters without spaces, got 7 characters',
    );
    expect(make).not.toThrow('secret');
  });

  test('of the admin port as well', async () => {
    expect(() => createAdminClient({} as Anything)).toThrow('createAdminClient address: expected host:port');
    const admin: Anything = createAdminClient({ address });
    onTestFinished(() => admin.close());
    await expect(admin.loadVersion('m', '1')).rejects.toThrow('LoadVersion version: expected an integer from 1');
    await expect(admin.rollback()).rejects.toThrow('Rollback model: expected a text that is not empty, got none');
    await expect(admin.setTraffic('m', { a: '5' })).rejects.toThrow(
      'SetTraffic percentages a: expected a number from 0 to 100, got "5"',
    );
  });
});
