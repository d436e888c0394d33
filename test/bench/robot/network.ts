/** A network with faults between client and server: delays, and losses as TCP has them, for which everything behind waits. */

import type { Random } from '../../../src/contract/random.ts';
import { openRelay } from '../../relay.ts';

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
  const faults = { delayMs: 0, lossRate: 0 };
  const relay = await openRelay(port, {
    carry(to) {
      let arrivesAtMs = 0;
      return (bytes) => {
        const lostMs = random.uniform() < faults.lossRate ? retransmissionMs : 0;
        const nowMs = performance.now();
        // In order: what comes behind a lost packet waits for it.
        arrivesAtMs = Math.max(arrivesAtMs, nowMs + faults.delayMs + lostMs);
        if (arrivesAtMs <= nowMs) to.write(bytes);
        else setTimeout(() => to.write(bytes), arrivesAtMs - nowMs);
      };
    },
  });
  return Object.assign(faults, { port: relay.port, stop: relay.stop });
}
