import { once } from 'node:events';
import { type ClientHttp2Stream, connect } from 'node:http2';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createFrameBuffer } from '../../../src/contract/grpc-frames.ts';
import { createRandom } from '../../../src/contract/random.ts';
import {
  ActRequestSchema,
  ActStreamRequestSchema,
  type ActStreamResponse,
  ActStreamResponseSchema,
} from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { TensorSchema } from '../../../src/gen/hyperpolicy/v1/tensor_pb.ts';
import { metricLines, startTestServer, type TestServer } from '../fixtures.ts';
import { connectRaw, frameTypes } from '../raw-http2.ts';

const path = '/hyperpolicy.v1.PolicyService/ActStream';

function framed(message: Uint8Array, flag = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Everything that can be taken now. */
function taken(buffer: ReturnType<typeof createFrameBuffer>): Buffer[] {
  const messages: Buffer[] = [];
  for (let message = buffer.take(); message !== undefined; message = buffer.take()) messages.push(message);
  return messages;
}

describe('frames of messages', () => {
  test('come out whole, however they are cut into pieces', () => {
    const random = createRandom(3);
    for (let round = 0; round < 200; round++) {
      const messages = Array.from({ length: random.integer(6) }, () => {
        const size = random.integer(2) === 0 ? random.integer(4) : random.integer(300);
        return Buffer.from(Array.from({ length: size }, () => random.integer(256)));
      });
      const bytes = Buffer.concat(messages.map((message) => framed(message)));
      const buffer = createFrameBuffer(300);
      const found: Buffer[] = [];
      const pieceMax = 1 + random.integer(random.integer(2) === 0 ? 8 : 400);
      for (let at = 0; at < bytes.length; ) {
        const size = 1 + random.integer(pieceMax);
        buffer.add(bytes.subarray(at, at + size));
        at += size;
        if (random.integer(3) > 0) found.push(...taken(buffer));
      }
      found.push(...taken(buffer));
      expect(found.map((message) => message.toString('hex'))).toEqual(
        messages.map((message) => message.toString('hex')),
      );
    }
  });

  test('of a size over the limit are refused by their length alone, compressed ones by their flag', () => {
    const large = createFrameBuffer(10);
    large.add(framed(Buffer.alloc(11)).subarray(0, 5));
    expect(() => large.take()).toThrow('message: expected at most 10 bytes, got 11');
    const compressed = createFrameBuffer(10);
    compressed.add(framed(Buffer.alloc(2), 1));
    expect(() => compressed.take()).toThrow('message: expected one that is not compressed');
  });

  test('that wait for the rest of their message do not keep what each came in', () => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    collect();
    const before = process.memoryUsage().arrayBuffers;
    const message = framed(Buffer.from(Array.from({ length: 2048 }, (_, i) => i % 251)));
    const buffer = createFrameBuffer(1 << 20);
    for (const [i, byte] of message.entries()) {
      if (i === message.length - 1) {
        collect();
        // Of 2052 reads of 64 KiB, 128 MiB, at most 32 + 2052 / 64 are kept.
        expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 2 ** 20);
      }
      // A byte of what a read of the socket gave.
      const read = Buffer.alloc(1 << 16, byte);
      buffer.add(read.subarray(0, 1));
      if (i < message.length - 1) expect(buffer.take()).toBe(undefined);
    }
    expect(buffer.take()).toEqual(message.subarray(5));
    expect(buffer.isEmpty).toBe(true);
  });
});

const observation = create(TensorSchema, {
  shape: [1, 3],
  data: new Uint8Array(new Float32Array([0.1, 0.2, 0.3]).buffer),
});
const sizes = { observationSize: 3, actionSize: 2, hiddenSize: 8, trunkSizes: [8] } as const;
const packages = [
  { model: 'mlp', policy: 'plain', critic: 'none', ...sizes },
  { model: 'hyper', policy: 'hyper', critic: 'none', contextSize: 2, ...sizes },
] as const;

const request = (sequence: number, about: MessageInitShape<typeof ActRequestSchema> = { model: 'mlp' }): Buffer => {
  const act = create(ActRequestSchema, { ...about, observation, sequence: BigInt(sequence) });
  return Buffer.from(toBinary(ActStreamRequestSchema, create(ActStreamRequestSchema, { act })));
};

/** A stream of frames, and what came back on it. */
function openFrames(address: string, headers: Record<string, string> = {}) {
  const session = connect(`http://${address}`);
  onTestFinished(() => session.destroy());
  const stream: ClientHttp2Stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  const buffer = createFrameBuffer(1 << 20);
  const answers: ActStreamResponse[] = [];
  stream.on('data', (chunk: Buffer) => {
    buffer.add(chunk);
    answers.push(...taken(buffer).map((bytes) => fromBinary(ActStreamResponseSchema, bytes)));
    stream.emit('answers');
  });
  const count = async (wanted: number) => {
    while (answers.length < wanted) await once(stream, 'answers');
    return answers.map(({ result }) => (result.case === 'response' ? Number(result.value.sequence) : result.value));
  };
  // Without an answer before it the status stands in the headers.
  const ending = new Promise<Record<string, string>>((resolve) => {
    const look = (fields: object) => 'grpc-status' in fields && resolve(fields as Record<string, string>);
    stream.on('response', look);
    stream.on('trailers', look);
  });
  return { stream, count, ending };
}

/** Streams that have ended, by their status. */
async function handled(server: TestServer): Promise<Record<string, number>> {
  const counted = await metricLines(server, 'grpc_server_handled_total{grpc_type="bidi_stream"');
  const ended = Object.entries(counted).filter(([, count]) => count > 0);
  return Object.fromEntries(ended.map(([line, count]) => [/grpc_code="(\w+)"/.exec(line)![1], count]));
}

describe('messages of a stream', () => {
  test('are answered when they come byte by byte, and when many come at once', async () => {
    const { address } = await startTestServer(packages);
    const { stream, count, ending } = openFrames(address);
    for (const byte of framed(request(1))) stream.write(Buffer.from([byte]));
    expect(await count(1)).toEqual([1]);
    const sequences = Array.from({ length: 3000 }, (_, i) => i + 2);
    stream.write(Buffer.concat(sequences.map((sequence) => framed(request(sequence)))));
    expect(await count(3001)).toEqual([1, ...sequences]);
    stream.end();
    expect((await ending)['grpc-status']).toBe('0');
  });

  test('that are answered later come in order, and the end comes after them', async () => {
    const { address } = await startTestServer(packages, { streamRequestCountMax: 2 });
    const { stream, count, ending } = openFrames(address);
    const sequences = Array.from({ length: 40 }, (_, i) => i + 1);
    const bytes = sequences.map((sequence) => {
      const data = new Uint8Array(new Float32Array([sequence, 1]).buffer);
      const value = create(TensorSchema, { shape: [1, 2], data });
      return framed(request(sequence, { model: 'hyper', contextSource: { case: 'context', value } }));
    });
    stream.end(Buffer.concat(bytes));
    expect(await count(40)).toEqual(sequences);
    expect((await ending)['grpc-status']).toBe('0');
  });

  test('that are marked as compressed without an encoding end it', async () => {
    const { address } = await startTestServer(packages);
    const { stream, ending } = openFrames(address);
    stream.write(framed(request(1), 1));
    const { 'grpc-status': status, 'grpc-message': text } = await ending;
    expect(status).toBe(`${grpc.status.INVALID_ARGUMENT}`);
    expect(decodeURI(text!)).toBe('message: expected one that is not compressed, as grpc-encoding has it, got flag 1');
  });

  test.each(['identity', 'gzip'])('that would be larger than a message may be end it (%s)', async (encoding) => {
    const wide = { model: 'wide', policy: 'plain', critic: 'none', ...sizes, actionSize: 20 } as const;
    const server = await startTestServer([wide], { messageBytesMax: 1024 });
    const { stream, ending } = openFrames(server.address, { 'grpc-encoding': encoding });
    const rows = create(TensorSchema, { shape: [20, 3], data: new Uint8Array(240) });
    const act = create(ActRequestSchema, { model: 'wide', observation: rows });
    stream.write(framed(toBinary(ActStreamRequestSchema, create(ActStreamRequestSchema, { act }))));
    const { 'grpc-status': status, 'grpc-message': text } = await ending;
    expect(status).toBe(`${grpc.status.RESOURCE_EXHAUSTED}`);
    expect(decodeURI(text!)).toMatch(/^response: expected at most 1024 bytes, got 16\d\d$/);
    expect(await handled(server)).toEqual({ ResourceExhausted: 1 });
  });

  test('are the same where the client compresses', async () => {
    const { address } = await startTestServer(packages);
    const client = new grpc.Client(address, grpc.credentials.createInsecure(), {
      'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip,
    });
    onTestFinished(() => client.close());
    const bytes = (message: Buffer) => message;
    const stream = client.makeBidiStreamRequest(path, bytes, bytes);
    const answers: number[] = [];
    stream.on('data', (answer: Buffer) => {
      const { result } = fromBinary(ActStreamResponseSchema, answer);
      answers.push(result.case === 'response' ? Number(result.value.sequence) : -1);
    });
    for (let sequence = 1; sequence <= 50; sequence++) stream.write(request(sequence));
    stream.end();
    await once(stream, 'end');
    expect(answers).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
  });

  test.each(['identity', 'gzip'])('whose end is in the middle of one is refused (%s)', async (encoding) => {
    const { address } = await startTestServer(packages);
    const { stream, count, ending } = openFrames(address, { 'grpc-encoding': encoding });
    stream.write(framed(request(1)));
    expect(await count(1)).toEqual([1]);
    stream.end(framed(request(2)).subarray(0, 9));
    const { 'grpc-status': status, 'grpc-message': text } = await ending;
    expect(status).toBe(`${grpc.status.INVALID_ARGUMENT}`);
    expect(decodeURI(text!)).toBe('stream: expected whole messages, got an end in the middle of one');
  });

  test('a stream that its deadline ends is counted so', async () => {
    const server = await startTestServer(packages);
    const { stream, ending } = openFrames(server.address, { 'grpc-timeout': '20m' });
    expect((await ending)['grpc-status']).toBe(`${grpc.status.DEADLINE_EXCEEDED}`);
    stream.close();
    expect(await handled(server)).toEqual({ DeadlineExceeded: 1 });
  });

  const noError = 0;
  const cancelled = 8;
  test.each([
    ['idle', 1, cancelled],
    ['idle', 1, noError],
    ['not read', 200, cancelled],
    ['not read', 200, noError],
  ])(
    'a stream that is %s and reset after %i messages with code %i is over, and counted as cancelled',
    async (_, messageCount, code) => {
      const server = await startTestServer([{ ...packages[0], actionSize: 100 }]);
      const peer = await connectRaw(server.address);
      peer.open(1, path);
      // Answers of 4 kB each: at 200 the window is long full, and what comes is not read any more.
      const rows = create(TensorSchema, { shape: [10, 3], data: new Uint8Array(120) });
      const act = create(ActRequestSchema, { model: 'mlp', observation: rows });
      const body = framed(toBinary(ActStreamRequestSchema, create(ActStreamRequestSchema, { act })));
      for (let i = 0; i < messageCount; i++) peer.send({ type: frameTypes.data, stream: 1, body });
      await peer.until(({ type }) => type === frameTypes.data);
      const reset = Buffer.alloc(4);
      reset.writeUInt32BE(code);
      peer.send({ type: frameTypes.reset, stream: 1, body: reset });
      await expect.poll(() => handled(server), { timeout: 20_000 }).toEqual({ Canceled: 1 });
    },
  );

  test('a stream that has its status, is not read and is reset without an error does not hold up the end', async () => {
    const drainMs = 100_000;
    const server = await startTestServer([{ ...packages[0], actionSize: 100 }], { drainMs });
    const peer = await connectRaw(server.address);
    peer.open(1, path);
    // An answer of 100 kB, of which the window lets 64 kB through, and no message after it.
    const rows = create(TensorSchema, { shape: [250, 3], data: new Uint8Array(3000) });
    const act = create(ActRequestSchema, { model: 'mlp', observation: rows });
    const body = framed(toBinary(ActStreamRequestSchema, create(ActStreamRequestSchema, { act })));
    peer.send({ type: frameTypes.data, stream: 1, body });
    peer.send({ type: frameTypes.data, stream: 1, body: framed(Buffer.alloc(1), 1) });
    await expect.poll(() => handled(server), { timeout: 20_000 }).toEqual({ InvalidArgument: 1 });
    peer.send({ type: frameTypes.reset, stream: 1, body: Buffer.alloc(4) });
    const startMs = performance.now();
    await server.server.stop();
    expect(performance.now() - startMs).toBeLessThan(drainMs / 2);
  });

  test('a client that leaves in the middle of a message leaves nothing behind', async () => {
    const { address, server } = await startTestServer(packages);
    const { stream } = openFrames(address);
    stream.write(framed(request(1)).subarray(0, 9));
    await once(stream, 'ready');
    stream.close();
    await once(stream, 'close');
    await server.stop();
  });
});
