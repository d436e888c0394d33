/** A network with faults between client and server: delays, and losses as TCP has them, for which everything behind waits. */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Random } from '../../../src/contract/random.ts';

/** How long TCP waits at least before it sends again. */
const retransmissionMs = 200;

export type Network = {
  readonly port: number;
  /** Of each way, milliseconds. */
  delayMs: number;
  /** Of each packet, from 0 to 1. */
  lossRate: number;
  stop(): Promise<void>;
};

/** @param port of the server */
export async function createNetwork(port: number, random: Random): Promise<Network> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      carry(from, to);
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');

  function carry(from: Socket, to: Socket): void {
    let arrivesAtMs = 0;
    from.on('data', (bytes) => {
      const lostMs = random.uniform() < network.lossRate ? retransmissionMs : 0;
      const nowMs = performance.now();
      // In order: what comes behind a lost packet waits for it.
      arrivesAtMs = Math.max(arrivesAtMs, nowMs + network.delayMs + lostMs);
      if (arrivesAtMs <= nowMs) to.write(bytes);
      else setTimeout(() => to.write(bytes), arrivesAtMs - nowMs);
    });
  }

  const network: Network = {
    port: (server.address() as AddressInfo).port,
    delayMs: 0,
    lossRate: 0,
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  return network;
}
