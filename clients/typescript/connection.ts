/** What every client here is made with: address, transport security, token, metadata, limits, and what a connection is worth. */

import { createPrivateKey, randomUUID, X509Certificate } from 'node:crypto';
import grpc from '@grpc/grpc-js';
import { invalidArgument } from '../../src/contract/errors.ts';
import { type Metadata, routingKeyName } from './call-options.ts';
import { type Channel, openChannel } from './channel.ts';
import {
  checkAddress,
  checkBoolean,
  checkBytes,
  checkMetadata,
  checkOptions,
  checkText,
  checkTime,
  checkToken,
  shown,
} from './checks.ts';

export type TlsOptions = {
  /** Authority that signed the server's certificate, PEM; the system's authorities unless given. */
  readonly authority?: Buffer;
  /** The client's own certificate and key, PEM, for servers that ask for one. */
  readonly certificate?: Buffer;
  readonly key?: Buffer;
  /** Name in the server's certificate, where it is not that of the address. */
  readonly serverName?: string;
};

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
  /** Go through the proxy that https_proxy or http_proxy names, but not to this machine itself. False unless given. */
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
  const {
    address,
    tls,
    token,
    messageBytesMax = 4 * 1024 * 1024,
    metadata: fields = {},
    keepaliveMs = 200,
    keepaliveTimeoutMs = 600,
    connectTimeoutMs = 500,
    reconnectMsMax = 250,
    httpProxy = false,
  } = given;
  checkAddress(`${where} address`, address);
  if (token !== undefined) checkToken(`${where} token`, token);
  checkBytes(`${where} messageBytesMax`, messageBytesMax);
  checkMetadata(`${where} metadata`, fields);
  const always = { ...fields };
  checkTime(`${where} keepaliveMs`, keepaliveMs, { orZero: true });
  checkTime(`${where} keepaliveTimeoutMs`, keepaliveTimeoutMs);
  checkTime(`${where} connectTimeoutMs`, connectTimeoutMs);
  checkTime(`${where} reconnectMsMax`, reconnectMsMax);
  checkBoolean(`${where} httpProxy`, httpProxy);
  const credentials = () => credentialsOf(`${where} tls`, tls);
  const channel = openChannel({
    address,
    credentials,
    serverName: tls?.serverName,
    messageBytesMax,
    keepaliveMs,
    keepaliveTimeoutMs,
    connectTimeoutMs,
    reconnectMsMax,
    httpProxy,
  });
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

const tlsOptionNames = [
  'authority',
  'certificate',
  'key',
  'serverName',
] as const satisfies readonly (keyof TlsOptions)[];

/** @throws HyperpolicyError invalid_argument: no PEM, a key that is not the certificate's, one of the two alone */
function credentialsOf(where: string, tls: TlsOptions | undefined): grpc.ChannelCredentials {
  if (tls === undefined) return grpc.credentials.createInsecure();
  checkOptions(where, tls, tlsOptionNames);
  const { authority, certificate, key, serverName } = tls;
  for (const [name, bytes] of Object.entries({ authority, certificate, key })) {
    // What is no PEM the library passes over without a word, and trusts nobody.
    if (bytes === undefined || (Buffer.isBuffer(bytes) && bytes.includes('-----BEGIN '))) continue;
    throw invalidArgument({
      where: `${where}.${name}`,
      expected: 'a Buffer with PEM',
      actual: shown(bytes),
      remedy: 'Read the file: readFileSync(name)',
    });
  }
  if (serverName !== undefined) checkText(`${where}.serverName`, serverName);
  if ((certificate === undefined) !== (key === undefined)) {
    const missing = certificate === undefined ? 'certificate' : 'key';
    throw invalidArgument({ where, expected: 'certificate and key, or neither', actual: `no ${missing}` });
  }
  try {
    // TLS itself takes a key of another kind than the certificate's, and the server then sees no certificate.
    if (certificate !== undefined && !new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key!)))
      throw new Error('a key of another certificate');
    if (authority !== undefined) new X509Certificate(authority);
    return grpc.credentials.createSsl(authority ?? null, key ?? null, certificate ?? null);
  } catch (cause) {
    throw invalidArgument({
      where,
      expected: 'PEM files, and the key that belongs to the certificate',
      actual: (cause as Error).message,
      cause,
    });
  }
}
