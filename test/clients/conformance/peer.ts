/** A client as the cases see it: what it is asked in the case's words, and what came of it in the service's. */

import type { JsonValue } from '@bufbuild/protobuf';

/** Of a request or a message, as a case has it: tensors with `shape` and `values`, `fill` or `bytes`. */
export type Fields = Readonly<Record<string, JsonValue>>;

export type Told =
  /** A response as protobuf's JSON has it. */
  | { readonly status: 'OK'; readonly json: JsonValue }
  /** `isOwn`: refused by the client, before anything was sent. */
  | { readonly status: string; readonly text: string; readonly isOwn: boolean };

/** A client has no way to send this. @param what as a noun phrase */
export class Unsayable extends Error {}

export type ClientCall = {
  readonly method: string;
  readonly request: Fields;
  readonly token?: string | undefined;
  readonly deadlineMs?: number | undefined;
};

export type ClientStream = {
  /** @throws Unsayable */
  act(request: Fields): Promise<Told>;
  /** Resolves when the stream has ended by itself, with how. */
  over(): Promise<Told>;
  /** Resolves when all has settled, with how the stream ended. */
  close(): Promise<Told>;
};

export type StreamOptions = {
  /** Of the first request. */
  readonly request: Fields;
  readonly follow?: boolean;
  readonly newestWins?: boolean;
  readonly token?: string | undefined;
};

export type ClientPeer = {
  /** Whether a text says the same as the expected one, where it is not the same. */
  readonly isAlike?: (expected: string, text: string) => boolean;
  /** @throws Unsayable */
  call(one: ClientCall): Promise<Told>;
  /** Absent where the client has none. */
  readonly open?: (options: StreamOptions) => Promise<ClientStream>;
  close(): Promise<void>;
};
