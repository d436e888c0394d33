/**
 * Whether the other side of a connection lives. The library's own keepalive counts in one timer, so that a program that was busy for a
 * while takes a living server for dead; here time counts only while this process could have heard an answer.
 */

import type { Socket } from 'node:net';
import type grpc from '@grpc/grpc-js';

export type LivenessOptions = {
  /** How long the first sign of life may take, milliseconds. */
  readonly connectTimeoutMs: number;
  /** How long the silence may be afterwards; Infinity where nobody is asked for signs of life. */
  readonly silenceMsMax: number;
  /** Whether the server told it to leave: nobody asks for signs of life then. Asked at every look. */
  readonly isLeaving: () => boolean;
};

/** How often a connection is looked at. What was busy for longer has waited for so long. */
const lookMs = 50;

/** Cuts a connection that is silent for too long. */
export function watchSocket(socket: Socket, { connectTimeoutMs, silenceMsMax, isLeaving }: LivenessOptions): void {
  let heardBytes = 0;
  let silentMs = 0;
  const timer = setInterval(() => {
    const { bytesRead } = socket;
    silentMs = isLeaving() || bytesRead !== heardBytes ? 0 : silentMs + lookMs;
    heardBytes = bytesRead;
    const limitMs = heardBytes === 0 ? connectTimeoutMs : silenceMsMax;
    if (silentMs >= limitMs) socket.destroy(new Error(`no sign of life for ${limitMs} ms`));
  }, lookMs);
  timer.unref();
  socket.once('close', () => clearInterval(timer));
}

export type Attempts = {
  /** A try to connect begins. */
  began(): void;
  /** There is a connection, which still has to shake hands. */
  connected(socket: Socket): void;
};

/** The same credentials; their tries to connect are told, which the library keeps to itself. */
export function watchAttempts(
  credentials: grpc.ChannelCredentials,
  { began, connected }: Attempts,
): grpc.ChannelCredentials {
  const create = credentials._createSecureConnector.bind(credentials);
  credentials._createSecureConnector = (...given) => {
    const connector = create(...given);
    const waitForReady = connector.waitForReady.bind(connector);
    const connect = connector.connect.bind(connector);
    connector.waitForReady = () => {
      began();
      return waitForReady();
    };
    connector.connect = (socket) => {
      connected(socket);
      // A handshake over a connection that closes does not end by itself.
      const closed = new Promise<never>((_, reject) => {
        socket.once('error', reject);
        socket.once('close', () => reject(new Error('the connection was closed')));
      });
      return Promise.race([connect(socket), closed]);
    };
    return connector;
  };
  return credentials;
}
