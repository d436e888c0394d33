/** Connections to a server on this machine by way of a port of their own, where a test decides what becomes of the bytes. */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export type RelayOptions = {
  /** Called for each way of each connection. @returns what gets its bytes as they come */
  readonly carry: (to: Socket) => (bytes: Buffer) => void;
  /** Whether one side is told that the other has ended; it is unless given. */
  readonly tellsEnds?: () => boolean;
};

export type Relay = {
  readonly port: number;
  /** So far. */
  readonly connectionCount: number;
  /** Cuts every connection and listens no more. */
  stop(): Promise<void>;
};

/** @param port of the server */
export async function openRelay(port: number, { carry, tellsEnds = () => true }: RelayOptions): Promise<Relay> {
  const sockets = new Set<Socket>();
  let connectionCount = 0;
  const server = createServer((near) => {
    connectionCount++;
    const far = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      // Its end follows.
      from.on('error', () => {});
      from.on('close', () => {
        sockets.delete(from);
        if (tellsEnds()) to.destroy();
      });
      from.on('data', carry(to));
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    get connectionCount() {
      return connectionCount;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
