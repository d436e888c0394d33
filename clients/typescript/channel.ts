/** The library's channel to an address: its options, and another channel in its place if an attempt to connect hangs. */

import grpc from '@grpc/grpc-js';
import { timerMs } from '../../src/contract/timers.ts';
import { isDirect } from './direct-hosts.ts';
import { createLeaving } from './leaving.ts';
import { type Attempts, watchAttempts, watchSocket } from './liveness.ts';

export type ChannelSettings = {
  readonly address: string;
  readonly credentials: () => grpc.ChannelCredentials;
  readonly serverName: string | undefined;
  readonly messageBytesMax: number;
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly reconnectMsMax: number;
  readonly httpProxy: boolean;
};

export type Channel = {
  /** The one for the next call. */
  readonly client: grpc.Client;
  /** Connects again where the connection was lost, without waiting for a call. */
  reconnect(): void;
  close(): void;
};

const { CONNECTING } = grpc.connectivityState;

/** The first pause between two tries to connect. */
const reconnectMsMin = 100;

export function openChannel(settings: ChannelSettings): Channel {
  let closed = false;
  let attempt: NodeJS.Timeout | undefined;
  const create = watchedClients(settings, {
    began() {
      clearTimeout(attempt);
      attempt = setTimeout(beginAnew, timerMs(settings.connectTimeoutMs)).unref();
    },
    connected: () => clearTimeout(attempt),
  });
  let client = create();

  /** The system tries for minutes, and ever more seldom, to reach a host that does not answer. */
  function beginAnew(): void {
    if (closed || stateOf(client, false) !== CONNECTING) return;
    const hanging = client;
    client = create();
    stateOf(client, true);
    hanging.close();
  }

  return {
    get client() {
      return client;
    },
    reconnect() {
      if (!closed) stateOf(client, true);
    },
    close() {
      closed = true;
      clearTimeout(attempt);
      client.close();
    },
  };
}

/** @returns what makes a client of the library: its tries to connect are told, and its connections are watched */
function watchedClients(settings: ChannelSettings, attempts: Attempts): () => grpc.Client {
  const { address, credentials, connectTimeoutMs, keepaliveMs, keepaliveTimeoutMs } = settings;
  const silenceMsMax = keepaliveMs === 0 ? Number.POSITIVE_INFINITY : keepaliveMs + keepaliveTimeoutMs;
  const leaving = createLeaving();
  return () => {
    const watched = watchAttempts(credentials(), {
      began: attempts.began,
      connected(socket) {
        attempts.connected(socket);
        // From the first moment on, and not only from the first look. The library has the session a little later than it says so.
        if (stateOf(made, false) === CONNECTING) {
          const look = () => void leaving.has(made, socket);
          made.getChannel().watchConnectivityState(CONNECTING, Number.POSITIVE_INFINITY, () => queueMicrotask(look));
        }
        watchSocket(socket, { connectTimeoutMs, silenceMsMax, isLeaving: () => leaving.has(made, socket) });
      },
    });
    const options = optionsOf(settings);
    const make = () => new grpc.Client(address, watched, options);
    const made = options['grpc.enable_http_proxy'] === 1 ? withoutNoProxy(make) : make();
    return made;
  };
}

/** @param connect begins to connect where it does not yet */
const stateOf = (client: grpc.Client, connect: boolean): grpc.connectivityState =>
  client.getChannel().getConnectivityState(connect);

function optionsOf(settings: ChannelSettings): grpc.ClientOptions {
  const { address, serverName, messageBytesMax, keepaliveMs, reconnectMsMax, httpProxy } = settings;
  return {
    'grpc.max_receive_message_length': messageBytesMax,
    'grpc.max_send_message_length': messageBytesMax,
    'grpc.enable_channelz': 0,
    // Each client has a connection of its own: several spread over the processes of a server.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.initial_reconnect_backoff_ms': Math.min(reconnectMsMin, reconnectMsMax),
    'grpc.max_reconnect_backoff_ms': reconnectMsMax,
    'grpc.enable_http_proxy': httpProxy && !isDirect(address, noProxy()) ? 1 : 0,
    // The library pings; that an answer is missing is noticed in liveness.ts.
    ...(keepaliveMs > 0 && { 'grpc.keepalive_time_ms': keepaliveMs, 'grpc.keepalive_permit_without_calls': 1 }),
    ...(serverName !== undefined && { 'grpc.ssl_target_name_override': serverName }),
  };
}

/** The variable that the library would read. */
const noProxy = (): string => process.env.no_grpc_proxy || process.env.no_proxy || '';

/** Makes what the library would make without hosts of no_proxy: which those are, `isDirect` has said. */
function withoutNoProxy<T>(make: () => T): T {
  const { no_grpc_proxy: given } = process.env;
  // No host ends with it.
  process.env.no_grpc_proxy = ' ';
  try {
    return make();
  } finally {
    if (given === undefined) delete process.env.no_grpc_proxy;
    else process.env.no_grpc_proxy = given;
  }
}
