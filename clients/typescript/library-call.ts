/**
 * Calls at the level of the library's channel. Above it the library has interceptors, an emitter and a stack trace for each call, and a stream
 * of objects for each stream: a client without interceptors would pay for them.
 */

import type { ClientHttp2Stream } from 'node:http2';
import type grpc from '@grpc/grpc-js';

export type LibraryCall = ReturnType<grpc.Channel['createCall']>;

/** A call that is still to be started. @param deadline milliseconds since the epoch, or Infinity */
export const beginCall = (client: grpc.Client, path: string, deadline: number): LibraryCall =>
  client.getChannel().createCall(path, deadline, null, null, null);

/** Members of the library's call that its interface does not declare: filters, and the tries to make the call, each with its stream. */
type Internals = {
  readonly filterStack?: { readonly filters: readonly { readonly receiveCompression?: object }[] };
  readonly child?: {
    readonly committedCallIndex?: number | null;
    readonly underlyingCalls?: readonly {
      readonly call: { readonly child?: { readonly http2Stream?: ClientHttp2Stream } };
    }[];
  };
};

/**
 * The HTTP/2 stream of a call that a server has answered.
 * @returns undefined where the answers are compressed, or where another version of the library keeps it elsewhere: the library goes on then
 */
export function http2StreamOf(call: LibraryCall): ClientHttp2Stream | undefined {
  const { filterStack } = call as unknown as Internals;
  const isPlain = filterStack?.filters.every(
    ({ receiveCompression }) => receiveCompression?.constructor.name === 'IdentityHandler',
  );
  return isPlain === true ? committedStreamOf(call) : undefined;
}

/** Whether the server told the connection of a call to leave, so that nobody pings there: Node's HTTP/2 then opens no more streams on it. */
export const isLeaving = (call: LibraryCall): boolean => committedStreamOf(call)?.session?.closed === true;

function committedStreamOf(call: LibraryCall): ClientHttp2Stream | undefined {
  const { child } = call as unknown as Internals;
  return child?.underlyingCalls?.[child.committedCallIndex ?? 0]?.call.child?.http2Stream;
}
