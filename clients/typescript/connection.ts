/** The channel of a client: address, transport security, token, limits. Shared by every client here. */

import grpc from '@grpc/grpc-js';

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
  readonly messageBytesMax?: number;
};

/** A channel that connects at the first call. */
export type Connection = {
  readonly address: string;
  readonly client: grpc.Client;
  /** Metadata of a call. */
  metadata(): grpc.Metadata;
};

const defaultMessageBytesMax = 4 * 1024 * 1024;

export function createConnection({ address, tls, token, messageBytesMax }: ConnectionOptions): Connection {
  const limit = messageBytesMax ?? defaultMessageBytesMax;
  const credentials =
    tls === undefined
      ? grpc.credentials.createInsecure()
      : grpc.credentials.createSsl(tls.authority ?? null, tls.key ?? null, tls.certificate ?? null);
  const client = new grpc.Client(address, credentials, {
    'grpc.max_receive_message_length': limit,
    'grpc.max_send_message_length': limit,
    'grpc.enable_channelz': 0,
    // Each client has a connection of its own: several spread over the processes of a server.
    'grpc.use_local_subchannel_pool': 1,
    ...(tls?.serverName !== undefined && { 'grpc.ssl_target_name_override': tls.serverName }),
  });
  return {
    address,
    client,
    metadata() {
      const metadata = new grpc.Metadata();
      if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
      return metadata;
    },
  };
}
