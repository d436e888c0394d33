/** What the library's calls have and do not declare: their HTTP/2 stream, and what has arrived of a message that is not whole. */

import type { ServerHttp2Stream } from 'node:http2';
import type grpc from '@grpc/grpc-js';
import { ownMemory } from '../../src/contract/grpc-frames.ts';

export type LibraryCall = grpc.ServerInterceptingCallInterface;

type Internals = {
  readonly stream: ServerHttp2Stream;
  readonly incomingEncoding: string;
  readonly metadata: grpc.Metadata;
  /** The client sends no more. */
  readonly receivedHalfClose: boolean;
  /** It has its status, or the client has left. */
  readonly cancelled: boolean;
  /** Also of a message that is unpacked. */
  readonly maxReceiveMessageSize: number;
  readonly decoder: {
    /** 0 between two messages. */
    readonly readState: number;
    /** Of the same message: [1] if it is compressed. */
    readonly readCompressFlag: Uint8Array;
    /** Of the message that arrives, or of the last one; bytes. */
    readonly readMessageSize: number;
    readonly readMessageRemaining: number;
    readPartialMessage: readonly Buffer[];
  };
  readQueue: readonly unknown[];
  listener: unknown;
};

export const internalsOf = (call: LibraryCall): Internals => call as unknown as Internals;

/** Some of a message has arrived, and not all. */
export const isAmidMessage = ({ decoder }: Internals): boolean => decoder.readState !== 0;

/** Deflate makes at most so much of a byte. Source: zlib's technical details (1032:1). */
const unpackedShareMax = 1032;

/** Bytes held of the message that arrives, or of the last one. A compressed one that is whole counts as what it may have been unpacked to. */
export function arrivedBytes({ decoder, maxReceiveMessageSize }: Internals): number {
  const bytes = decoder.readMessageSize - decoder.readMessageRemaining;
  const isUnpacked = decoder.readState === 0 && decoder.readCompressFlag[0] === 1;
  return isUnpacked ? Math.min(unpackedShareMax * bytes, maxReceiveMessageSize) : bytes;
}

/** Keeps what has arrived in memory of its own. */
export function gatherArrived({ decoder }: Internals): void {
  decoder.readPartialMessage = ownMemory(decoder.readPartialMessage);
}

/** Frees what has arrived of a call that is over: its stream stays until the client ends it, too. */
export function freeArrived(call: Internals): void {
  call.decoder.readPartialMessage = [];
  call.readQueue = [];
}

/** The same of a call that was never handed on, and never will be. */
export function freeUnhandled(call: Internals): void {
  freeArrived(call);
  call.listener = null;
}
