/** Deadlines of any length, as clients send them. */

import http2 from 'node:http2';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createPolicyClient } from '../../../clients/typescript/client.ts';
import { answerByDue } from '../../../server/methods/due-time.ts';
import { boundConnectTimeout, boundGrpcTimeout } from '../../../server/transport/deadline-headers.ts';
import { callAfter } from '../../../src/contract/timers.ts';
import { plain, startTestServer } from '../fixtures.ts';

const model = { ...plain, model: 'm' } as const;
const observation = [1, 2, 3];

describe('boundGrpcTimeout', () => {
  test.each([
    ['100m', '100m'],
    ['99999999m', '99999999m'],
    ['2147483S', '2147483S'],
    // 30 days, in every unit that holds them; 596 h are the most that a timer has.
    ['2592000S', '596H'],
    ['43200M', '596H'],
    ['720H', '596H'],
    ['99999999H', '596H'],
    ['2592000000m', '596H'],
    ['2592000000000000u', '596H'],
    // More digits than the library reads, of which it would take the last eight.
    ['123456789m', '123457S'],
    ['1000000000n', '1S'],
    ['5', '5'],
    ['soon', 'soon'],
  ])('%s becomes %s', (given, bounded) => {
    const headers = { 'grpc-timeout': given };
    boundGrpcTimeout(headers);
    expect(headers['grpc-timeout']).toBe(bounded);
  });

  test('leaves a call without one alone', () => {
    const headers = {};
    boundGrpcTimeout(headers);
    boundConnectTimeout(headers);
    expect(headers).toEqual({});
  });
});

test('calls with 20, 30 and 40 days, and with more than a timer or a header holds, are answered', async () => {
  const { address } = await startTestServer([model]);
  const client = createPolicyClient({ address });
  onTestFinished(() => client.close());
  const day = 86_400_000;
  for (const timeoutMs of [
    20 * day,
    30 * day,
    40 * day,
    5000 * day,
    1e15,
    Number.MAX_VALUE,
    Number.POSITIVE_INFINITY,
  ]) {
    expect((await client.act({ model: 'm', observation }, { timeoutMs })).version).toBe(1);
    // A rule that needs a deadline has one.
    expect((await client.act({ model: 'm', observation, fallback: 'safe' }, { timeoutMs })).fallback).toBeUndefined();
  }
});

test.each(['2592000S', '720H', '99999999H', '2592000000m'])('a raw grpc-timeout of %s is answered', async (timeout) => {
  const { address } = await startTestServer([model]);
  const session = http2.connect(`http://${address}`);
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': '/hyperpolicy.v1.PolicyService/ListModels',
    'content-type': 'application/grpc',
    te: 'trailers',
    'grpc-timeout': timeout,
  });
  const status = new Promise((resolve) => {
    stream.once('trailers', (trailers) => resolve(trailers['grpc-status']));
    stream.once('response', (headers) => headers['grpc-status'] !== undefined && resolve(headers['grpc-status']));
  });
  stream.end(Buffer.alloc(5));
  stream.resume();
  expect(await status).toBe('0');
});

test.each(['2592000000', '9999999999', '99999999999999'])('connect-timeout-ms of %s is answered', async (timeout) => {
  const { server } = await startTestServer([model], { httpPort: 0 });
  const response = await fetch(`http://127.0.0.1:${server.httpPort}/hyperpolicy.v1.PolicyService/ListModels`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'connect-timeout-ms': timeout },
    body: '{}',
  });
  expect(response.status).toBe(200);
});

describe('timers', () => {
  test('wait for longer than one timer can, and for ever', async () => {
    vi.useFakeTimers();
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const action = vi.fn();
    const day = 86_400_000;
    callAfter(60 * day, action);
    callAfter(Number.POSITIVE_INFINITY, action);
    const cancel = callAfter(50 * day, action);
    vi.advanceTimersByTime(49 * day);
    cancel();
    vi.advanceTimersByTime(11 * day - 1);
    expect(action).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(action).toHaveBeenCalledTimes(1);
  });

  test('an answer that is due in 60 days does not spin until then', async () => {
    const due = { atMs: performance.now() + 60 * 86_400_000, reason: 'budget' } as const;
    const late = vi.fn();
    const answer = new Promise((resolve) => setTimeout(resolve, 5, 'answer'));
    expect(await answerByDue(answer, due, late, expect.unreachable)).toBe('answer');
    expect(late).not.toHaveBeenCalled();
  });
});
