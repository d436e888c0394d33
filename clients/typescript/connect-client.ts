/** The client over HTTP, by Connect's protocol: for browsers, which have no gRPC, and for Node. It has no streams. */

import { invalidArgument } from '../../src/contract/errors.ts';
import { type Metadata, routingKeyName } from './call-options.ts';
import { checkBytes, checkMetadata, checkOptions, checkTime, checkToken, shown } from './checks.ts';
import { connectCaller } from './connect-call.ts';
import { createPolicyCalls, defaultTimeoutMs, type PolicyCalls } from './policy-calls.ts';

export type ConnectClientOptions = {
  /** Of the server's HTTP port, `http://host:port` or `https://host:port`; with a path where a proxy has one before it. */
  readonly url: string;
  /** Bearer token. Without TLS it travels readable. */
  readonly token?: string;
  /** Sent with every call. From a web page only those that the server lets through. Copied when the client is created. */
  readonly metadata?: Metadata;
  /** For calls that name no timeout of their own, milliseconds: 5000 unless given. */
  readonly timeoutMs?: number;
  /** Bytes of one message, either way; 4 MiB unless given. */
  readonly messageBytesMax?: number;
};

export type ConnectClient = PolicyCalls & {
  readonly url: string;
  /** Gives up the calls in flight, and takes no more. */
  close(): void;
};

const names = [
  'url',
  'token',
  'metadata',
  'timeoutMs',
  'messageBytesMax',
] as const satisfies readonly (keyof ConnectClientOptions)[];

/**
 * A client of one server's HTTP port. Its methods are those of `createPolicyClient` without `actStream`, with the same errors.
 * @throws HyperpolicyError invalid_argument naming the option
 */
export function createConnectClient(options: ConnectClientOptions): ConnectClient {
  const where = 'createConnectClient';
  checkOptions(where, options, names);
  const { token, timeoutMs = defaultTimeoutMs, messageBytesMax = 4 * 1024 * 1024, metadata: fields = {} } = options;
  const url = checkUrl(`${where} url`, options.url);
  if (token !== undefined) checkToken(`${where} token`, token);
  checkTime(`${where} timeoutMs`, timeoutMs);
  checkBytes(`${where} messageBytesMax`, messageBytesMax);
  checkMetadata(`${where} metadata`, fields);
  const always = { ...fields };
  const ownKey = randomKey();
  const closing = new AbortController();
  const { calls } = createPolicyCalls({
    address: url,
    timeoutMs,
    callUnary: connectCaller({
      url,
      messageBytesMax,
      closed: closing.signal,
      headers: (own, routingKey = ownKey) => ({
        [routingKeyName]: routingKey,
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...always,
        ...own,
      }),
    }),
  });
  return { url, ...calls, close: () => closing.abort() };
}

/** @returns without a slash at its end */
function checkUrl(where: string, given: unknown): string {
  const url = typeof given === 'string' && URL.canParse(given) ? new URL(given) : undefined;
  const isBare = url !== undefined && `${url.username}${url.password}${url.search}${url.hash}` === '';
  if (isBare && /^https?:$/.test(url.protocol)) return url.href.replace(/\/+$/, '');
  const expected = 'http://host:port or https://host:port';
  throw invalidArgument({ where, expected, actual: shown(given) });
}

/** `crypto.randomUUID` is not there for pages that came without TLS. */
const randomKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join('-');
