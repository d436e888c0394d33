/** The checks by which the serving bench sees that server and yardstick carry the same bytes, on a real echo. */

import { afterEach, describe, expect, test } from 'vitest';
import { paths, type RawClient, rawClient } from './serve-client.ts';
import { differenceOf, type EchoOptions, startEcho } from './serve-echo-server.ts';
import { checkAnswerSizes, checkArrival, typicalAnswer } from './serve-fairness.ts';
import { actPayload } from './serve-requests.ts';

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0).reverse()) stop();
});

async function echoClient(options: EchoOptions): Promise<RawClient> {
  const server = await startEcho(options);
  stops.push(server.close);
  const client = rawClient(server.port);
  stops.push(client.close);
  return client;
}

const requests = actPayload('hyper');
const answers = { act: Buffer.from('an answer'), actStream: Buffer.from('an answer of a stream') };
const changed = (bytes: Buffer) =>
  Buffer.concat([bytes.subarray(0, 40), Buffer.from([bytes[40]! ^ 1]), bytes.subarray(41)]);

describe('the checking echo', () => {
  test('lets the payloads pass that were meant, and its answers arrive as they are', async () => {
    await checkArrival(await echoClient({ ...answers, expected: requests }), requests, answers);
  });

  test('refuses a call of which one byte differs', async () => {
    const client = await echoClient({ ...answers, expected: requests });
    await expect(client.call(paths.act, changed(requests.act))).rejects.toThrow(
      `payload: expected the ${requests.act.length} bytes that were meant, got ${requests.act.length} that differ from byte 40 on`,
    );
  });

  test('refuses a message of a stream that was cut', async () => {
    const client = await echoClient({ ...answers, expected: requests });
    const stream = client.stream(paths.actStream, requests.actStream.subarray(0, 30));
    await expect(stream.call()).rejects.toThrow('got 30 that differ from byte 30 on');
    await expect(stream.pipeline(2, 1)).rejects.toThrow('got 30 that differ from byte 30 on');
  });

  test('a changed answer is seen', async () => {
    const client = await echoClient({ ...answers, expected: requests });
    const meant = { ...answers, act: Buffer.from('an Answer') };
    await expect(checkArrival(client, requests, meant)).rejects.toThrow('answer of act: payload: expected the 9 bytes');
  });
});

test('the yardstick answers every message of a pipelined stream', async () => {
  const client = await echoClient(answers);
  const stream = client.stream(paths.actStream, requests.actStream);
  const times = await stream.pipeline(1000, 64);
  stream.close();
  expect(times).toHaveLength(1000);
  for (const time of times) expect(time).toBeGreaterThan(0);
});

describe('answer sizes', () => {
  const sized = (...sizes: number[]) => sizes.map((size) => Buffer.alloc(size));

  test('the typical answer has the median length', () => {
    expect(typicalAnswer(sized(50, 90, 52)).length).toBe(52);
  });

  test('may differ by the varints of the times, and no more', () => {
    checkAnswerSizes('Act', sized(54, 56, 90), Buffer.alloc(52));
    expect(() => checkAnswerSizes('Act', sized(57, 57, 57), Buffer.alloc(52))).toThrow(
      'Act: expected answers of 52 bytes as the echo gives, within 4, got 57',
    );
  });
});

test('differenceOf names the first byte that differs, or the end of the shorter', () => {
  expect(differenceOf(Buffer.from('abc'), Buffer.from('abc'))).toBeUndefined();
  expect(differenceOf(Buffer.from('abx'), Buffer.from('abc'))).toContain('from byte 2 on');
  expect(differenceOf(Buffer.from('ab'), Buffer.from('abc'))).toContain('got 2 that differ from byte 2 on');
});
