/** Calls by method name with bytes, as any client can make them; and the status that came back. */

import grpc from '@grpc/grpc-js';
import { onTestFinished } from 'vitest';
import type { CleanUp } from '../server/fixtures.ts';

export type RawStatus = { readonly status: string; readonly text: string };

export type RawResult = { readonly status: 'OK'; readonly bytes: Buffer } | RawStatus;

/** @param token sent as `authorization: Bearer` */
export type RawCaller = (path: string, bytes: Uint8Array, deadlineMs?: number, token?: string) => Promise<RawResult>;

/** A stream of a method: one request where only the server streams. */
export type RawStream = {
  send(bytes: Uint8Array): void;
  /** Sends no more. */
  finish(): void;
  /** The next message, or how the stream ended. */
  next(): Promise<RawResult>;
};

export type RawPeer = {
  readonly call: RawCaller;
  open(path: string, deadlineMs?: number, token?: string): RawStream;
};

const identity = (bytes: Buffer) => bytes;
const timeoutMs = 20_000;

/** Calls over one connection, which ends in the end. */
export function rawPeer(address: string, cleanUp: CleanUp = onTestFinished): RawPeer {
  const client = new grpc.Client(address, grpc.credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    'grpc.use_local_subchannel_pool': 1,
  });
  cleanUp(async () => client.close());
  return {
    call: (path, bytes, deadlineMs = timeoutMs, token = undefined) =>
      new Promise((resolve) => {
        const options = { deadline: Date.now() + deadlineMs };
        const headers = headersOf(token);
        client.makeUnaryRequest(path, identity, identity, Buffer.from(bytes), headers, options, (error, response) => {
          resolve(error === null ? { status: 'OK', bytes: response! } : statusOf(error));
        });
      }),
    open(path, deadlineMs = timeoutMs, token = undefined) {
      const options = { deadline: Date.now() + deadlineMs };
      return streamOf(client.makeBidiStreamRequest(path, identity, identity, headersOf(token), options));
    },
  };
}

/** Only single calls. */
export const rawCaller = (address: string, cleanUp: CleanUp = onTestFinished): RawCaller =>
  rawPeer(address, cleanUp).call;

function headersOf(token: string | undefined): grpc.Metadata {
  const headers = new grpc.Metadata();
  if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
  return headers;
}

const statusOf = ({ code, details }: grpc.StatusObject | grpc.ServiceError): RawStatus => ({
  status: grpc.status[code]!,
  text: details,
});

function streamOf(stream: grpc.ClientDuplexStream<Buffer, Buffer>): RawStream {
  const arrived: RawResult[] = [];
  const waiting: ((result: RawResult) => void)[] = [];
  const arrive = (result: RawResult) => {
    const next = waiting.shift();
    if (next === undefined) arrived.push(result);
    else next(result);
  };
  stream.on('data', (bytes: Buffer) => arrive({ status: 'OK', bytes }));
  // Beside the status there is nothing to learn from it.
  stream.on('error', () => {});
  stream.on('status', (status: grpc.StatusObject) => arrive(statusOf(status)));
  return {
    send: (bytes) => void stream.write(Buffer.from(bytes)),
    finish: () => stream.end(),
    next() {
      const result = arrived.shift();
      return result === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(result);
    },
  };
}
