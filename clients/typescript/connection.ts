/** The connection of a client: its options (address, TLS, token, metadata, limits, pings) and its channel. */

import { randomUUID } from 'node:crypto';
import grpc from '@grpc/grpc-js';
import { type Metadata, routingKeyName } from './call-options.ts';
import { type Channel, openChannel } from './channel.ts';
import { checkAddress, checkBoolean, checkBytes, checkMetadata, checkTime, checkToken } from './checks.ts';
import { credentialsOf, type TlsOptions } from './tls.ts';

export type ConnectionOptions = {
  /** `host:port`. */
  readonly address: string;
  /** Absent: no transport security. */
  readonly tls?: TlsOptions;
  /** Bearer token. Without TLS it travels readable. */
  readonly token?: string;
  /** Bytes of one message, either way; 4 MiB unless given. */
  readonly messageBytesMax?: number;
  /** Sent with every call, beside `authorization` and `hyperpolicy-routing-key`, which it may replace. Copied when the client is created. */
  readonly metadata?: Metadata;
  /** Time between pings to the server, with and without calls, milliseconds; 0 is none. 200 unless given. */
  readonly keepaliveMs?: number;
  /** A server that is silent for so long after a ping was due is gone: the connection is cut. Milliseconds, 600 unless given. */
  readonly keepaliveTimeoutMs?: number;
  /** A connection that is silent for so long before it stands is begun anew. Milliseconds, 500 unless given. */
  readonly connectTimeoutMs?: number;
  /** Longest pause between two tries to connect, give or take a fifth. Milliseconds, 250 unless given. */
  readonly reconnectMsMax?: number;
  /**
   * Go through the proxy that https_proxy or http_proxy names, but not to localhost or a loopback address, nor to hosts of no_proxy: a
   * machine's own name counts only there, as for curl. False unless given.
   */
  readonly httpProxy?: boolean;
};

/** A channel that connects at the first call. */
export type Connection = {
  readonly address: string;
  readonly channel: Omit<Channel, 'close'>;
  readonly closed: boolean;
  readonly messageBytesMax: number;
  /**
   * Metadata of a call.
   * @param own of this call alone
   * @param routingKey what a balancer may tell servers by; this client's own unless given
   */
  metadata(own?: Metadata, routingKey?: string): grpc.Metadata;
  /** Calls once, at `close`. Returns what takes it back. */
  onClose(listener: () => void): () => void;
  /** Ends the connection and what is open on it. */
  close(): void;
};

export const connectionOptionNames = [
  'address',
  'tls',
  'token',
  'messageBytesMax',
  'metadata',
  'keepaliveMs',
  'keepaliveTimeoutMs',
  'connectTimeoutMs',
  'reconnectMsMax',
  'httpProxy',
] as const satisfies readonly (keyof ConnectionOptions)[];

/**
 * @param where the function that was called, for errors
 * @throws HyperpolicyError invalid_argument naming the option
 */
export function createConnection(where: string, given: ConnectionOptions): Connection {
  const { tls, token, metadata: always, ...settings } = checked(where, given);
  const { address, messageBytesMax } = settings;
  const credentials = () => credentialsOf(`${where} tls`, tls);
  const channel = openChannel({ ...settings, credentials, serverName: tls?.serverName });
  const ownKey = randomUUID();
  const usual = metadataOf({});
  const listeners = new Set<() => void>();
  let closed = false;

  function metadataOf(own: Metadata = {}, routingKey: string = ownKey): grpc.Metadata {
    const metadata = new grpc.Metadata();
    metadata.set(routingKeyName, routingKey);
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
    for (const [name, value] of Object.entries({ ...always, ...own })) metadata.set(name, value);
    return metadata;
  }

  return {
    address,
    channel,
    messageBytesMax,
    // Each call copies what it is given.
    metadata: (own, routingKey) =>
      own === undefined && routingKey === undefined ? usual : metadataOf(own, routingKey),
    onClose(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    get closed() {
      return closed;
    },
    close() {
      closed = true;
      for (const listener of listeners) listener();
      listeners.clear();
      channel.close();
    },
  };
}

/** The options with their defaults. @throws HyperpolicyError invalid_argument naming the option */
function checked(where: string, given: ConnectionOptions) {
  const {
    address,
    tls,
    token,
    messageBytesMax = 4 * 1024 * 1024,
    metadata = {},
    keepaliveMs = 200,
    keepaliveTimeoutMs = 600,
    connectTimeoutMs = 500,
    reconnectMsMax = 250,
    httpProxy = false,
  } = given;
  checkAddress(`${where} address`, address);
  if (token !== undefined) checkToken(`${where} token`, token);
  checkBytes(`${where} messageBytesMax`, messageBytesMax);
  checkMetadata(`${where} metadata`, metadata);
  checkTime(`${where} keepaliveMs`, keepaliveMs, { orZero: true });
  checkTime(`${where} keepaliveTimeoutMs`, keepaliveTimeoutMs);
  checkTime(`${where} connectTimeoutMs`, connectTimeoutMs);
  checkTime(`${where} reconnectMsMax`, reconnectMsMax);
  checkBoolean(`${where} httpProxy`, httpProxy);
  return {
    address,
    tls,
    token,
    messageBytesMax,
    metadata: { ...metadata },
    keepaliveMs,
    keepaliveTimeoutMs,
    connectTimeoutMs,
    reconnectMsMax,
    httpProxy,
  };
}
