/** Where the time of one request went; becomes the Timing of its response. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { TimingSchema } from '../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Call } from './rpc.ts';

export type RequestTimer = {
  /** Waits for a generation that was started at `startMs` on the clock of `performance.now()`, and counts it. */
  primary<T>(startMs: number, wait: Promise<T>): Promise<T>;
  /** Counts the run as time for the network, until it settles where it is a promise. */
  network<T>(run: () => T): T;
  timing(): MessageInitShape<typeof TimingSchema>;
};

const microseconds = (milliseconds: number): number => Math.max(0, Math.round(milliseconds * 1000));

/** @param eventLoopDelayUs smoothed lateness of the event loop */
export function createTimer(call: Call, eventLoopDelayUs: () => number): RequestTimer {
  let primaryMs = 0;
  let networkMs = 0;
  return {
    async primary(startMs, wait) {
      const result = await wait;
      primaryMs += performance.now() - startMs;
      return result;
    },
    network(run) {
      const startMs = performance.now();
      const count = () => {
        networkMs += performance.now() - startMs;
      };
      const result = run();
      if (result instanceof Promise) return result.finally(count) as typeof result;
      count();
      return result;
    },
    timing: () => ({
      totalUs: microseconds(performance.now() - call.receivedAtMs),
      primaryUs: microseconds(primaryMs),
      networkUs: microseconds(networkMs),
      eventLoopDelayUs: eventLoopDelayUs(),
    }),
  };
}
