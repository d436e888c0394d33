/**
 * Limits for connections of a gRPC port: their number, the time of a handshake, the rate of pings, the time that answers may stay unread,
 * and what may have arrived of messages that are not whole. Age, idleness and keepalive are options of the library, in grpc.ts; this file knows HTTP/2 only.
 */

import { constants, type Http2Server, type ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { remoteEnd } from '../../src/contract/http-connections.ts';
import { createNotes, type Note } from '../../src/pacing/notes.ts';
import type { ServerConfig } from '../config.ts';
import type { EndReason } from '../telemetry/metrics.ts';
import { Arrivals } from './arrivals.ts';
import { Readers } from './readers.ts';
import { handshakeMsMax } from './tls.ts';

export type ConnectionOptions = {
  readonly config: Pick<ServerConfig, 'connectionCountMax' | 'pingIntervalMsMin' | 'messageBytesMax'>;
  readonly log: Logger;
  readonly onEnd: (reason: EndReason) => void;
};

/** Extra connections that may be open before their HTTP/2 handshake. */
const silentCountMax = 64;
/** Time for a refused peer to read the reason. */
const farewellMs = 1000;
/** Pings that may come too soon before the connection is ended. */
const pingStrikeCountMax = 2;
/** Size of the answer to a ping on the wire. */
const pingAnswerBytes = 17;

export class Connections {
  readonly #options: ConnectionOptions;
  readonly #note: Note;
  /** By remote address and port, which are the same for a TLS socket and the socket below it; the oldest first. */
  readonly #peers = new Map<string, Peer>();
  readonly #readers: Readers;
  readonly #arrivals: Arrivals;
  #sessionCount = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#note = createNotes(options.log, 'connections ended');
    this.#arrivals = new Arrivals(options.config.messageBytesMax, options.log);
    this.#readers = new Readers((socket) => {
      this.#end('stalled');
      socket.destroy();
    });
  }

  /** Open connections that were not refused. */
  get count(): number {
    return this.#sessionCount;
  }

  /** Calls with an unread answer. */
  get unreadCount(): number {
    return this.#readers.unreadCount;
  }

  /** Call it before the server's first connection. */
  watch(server: Http2Server): void {
    // Before the library's own listener, so that refused connections cost it nothing.
    server.prependListener('connection', (socket: Socket) => this.#openSocket(socket));
    server.on('session', (session) => this.#openSession(session));
  }

  /** Cuts every remaining connection, even if its client does not close. */
  cut(): void {
    for (const { socket } of this.#peers.values()) socket.destroy();
  }

  /**
   * A connection over the bound is cut before any byte is sent, so clients treat it as a failed attempt and wait longer each time. Silent
   * connections make room for others.
   */
  #openSocket(socket: Socket): void {
    const { connectionCountMax } = this.#options.config;
    if (this.#sessionCount >= connectionCountMax) {
      this.#end('too_many');
      socket.destroy();
      return;
    }
    const from = remoteEnd(socket);
    const peer: Peer = { socket, handshake: setTimeout(() => socket.destroy(), handshakeMsMax), isOpen: false };
    this.#peers.set(from, peer);
    socket.once('close', () => {
      clearTimeout(peer.handshake);
      if (this.#peers.get(from) === peer) this.#peers.delete(from);
    });
    if (this.#peers.size <= connectionCountMax + silentCountMax) return;
    this.#end('too_many');
    [...this.#peers.values()].find(({ isOpen, socket: { destroyed } }) => !isOpen && !destroyed)?.socket.destroy();
  }

  #openSession(session: ServerHttp2Session): void {
    const peer = this.#peers.get(remoteEnd(session.socket));
    // It was already refused, or is gone.
    if (peer === undefined || peer.socket.destroyed) return;
    session.once('remoteSettings', () => this.#admit(session, peer));
  }

  #admit(session: ServerHttp2Session, peer: Peer): void {
    const { connectionCountMax, pingIntervalMsMin } = this.#options.config;
    clearTimeout(peer.handshake);
    peer.isOpen = true;
    if (this.#sessionCount >= connectionCountMax) {
      this.#end('too_many');
      const limit = `expected at most ${connectionCountMax} open in one process, got one more`;
      sendOff(session, peer.socket, `connections: ${limit}. Retry with backoff`);
      return;
    }
    this.#sessionCount++;
    session.once('close', () => {
      this.#sessionCount--;
    });
    this.#arrivals.watch(session, this.#readers.watch(session, peer.socket));
    const isFlood = createPingPolice(pingIntervalMsMin, clock);
    session.on('ping', () => {
      if (session.closed || !isFlood(session.socket.bytesWritten)) return;
      this.#end('pings');
      // Clients know this text and then ping less often.
      sendOff(session, peer.socket, 'too_many_pings');
    });
  }

  /** Counts and logs a connection that is refused or cut. */
  #end(reason: EndReason): void {
    const { connectionCountMax, pingIntervalMsMin } = this.#options.config;
    this.#options.onEnd(reason);
    this.#note(reason, { too_many: { connectionCountMax }, pings: { pingIntervalMsMin }, stalled: {} }[reason]);
  }
}

/** A connection, from before its handshake. */
type Peer = {
  readonly socket: Socket;
  /** Ends the connection if its handshakes take too long: TLS, and then the first SETTINGS of HTTP/2. */
  readonly handshake: NodeJS.Timeout;
  isOpen: boolean;
};

const clock = () => performance.now();

/** Ends a connection and its calls with a reason. */
function sendOff(session: ServerHttp2Session, socket: Socket, text: string): void {
  session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from(text));
  session.close();
  // The socket, not the session: a session waits for the other side to end, which may never happen.
  const cut = setTimeout(() => socket.destroy(), farewellMs).unref();
  session.once('close', () => clearTimeout(cut));
}

/**
 * Counts a client's pings. Pings while data is sent to the client are free, since libraries measure the round trip with them.
 *
 * @returns takes the bytes sent to the client so far; true from the third ping that comes too soon while nothing else is sent
 */
export function createPingPolice(intervalMsMin: number, clock: () => number): (bytesSent: number) => boolean {
  let pingCount = 0;
  let otherBytesMax = 0;
  let strikeCount = 0;
  let lastMs = Number.NEGATIVE_INFINITY;
  return (bytesSent) => {
    const nowMs = clock();
    const soon = nowMs - lastMs < intervalMsMin;
    // The answer to a ping is sent after the ping is counted, so this is never too large.
    const otherBytes = bytesSent - pingCount * pingAnswerBytes;
    lastMs = nowMs;
    pingCount++;
    if (otherBytes > otherBytesMax) strikeCount = 0;
    else if (soon) strikeCount++;
    otherBytesMax = Math.max(otherBytesMax, otherBytes);
    return strikeCount > pingStrikeCountMax;
  };
}
