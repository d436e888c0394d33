/** A call by method name with bytes, as any client can make it; and the status that came back. */

import grpc from '@grpc/grpc-js';
import { onTestFinished } from 'vitest';
import type { CleanUp } from '../server/fixtures.ts';

export type RawResult =
  | { readonly status: 'OK'; readonly bytes: Buffer }
  | { readonly status: string; readonly text: string };

export type RawCaller = (path: string, bytes: Uint8Array, deadlineMs?: number) => Promise<RawResult>;

const identity = (bytes: Buffer) => bytes;

/** Calls over one connection, which ends in the end. */
export function rawCaller(address: string, cleanUp: CleanUp = onTestFinished): RawCaller {
  const client = new grpc.Client(address, grpc.credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    'grpc.use_local_subchannel_pool': 1,
  });
  cleanUp(async () => client.close());
  return (path, bytes, deadlineMs = 20_000) =>
    new Promise((resolve) => {
      const options = { deadline: Date.now() + deadlineMs };
      client.makeUnaryRequest(path, identity, identity, Buffer.from(bytes), options, (error, response) => {
        if (error === null) resolve({ status: 'OK', bytes: response! });
        else resolve({ status: grpc.status[error.code]!, text: error.details });
      });
    });
}
