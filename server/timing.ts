/** Where the time of one request went; becomes the Timing of its response. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { TimingSchema } from '../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { WorkMetrics } from './metrics.ts';
import type { Call } from './rpc.ts';

export type RequestTimer = {
  /** Waits for a generation that was asked for at `startMs` on the clock of `performance.now()`, and counts it. */
  primary<T extends { readonly startedAtMs?: number }>(startMs: number, wait: Promise<T>): Promise<T>;
  /** Counts the run as time for the network, until it settles where it is a promise. */
  network<T>(run: () => T): T;
  timing(): MessageInitShape<typeof TimingSchema>;
};

const microseconds = (milliseconds: number): number => Math.max(0, Math.round(milliseconds * 1000));

export type TimerDeps = {
  /** Smoothed lateness of the event loop, microseconds; 0 unless given. */
  readonly eventLoopDelayUs?: () => number;
  readonly work: Pick<WorkMetrics, 'primary' | 'dynamic'>;
};

export function createTimer(call: Call, { eventLoopDelayUs = () => 0, work }: TimerDeps): RequestTimer {
  let primaryMs = 0;
  let networkMs = 0;
  return {
    async primary(startMs, wait) {
      const result = await wait;
      const endMs = performance.now();
      const beganMs = Math.max(startMs, result.startedAtMs ?? startMs);
      primaryMs += endMs - startMs;
      work.primary((endMs - beganMs) / 1000);
      if (beganMs > startMs) call.observation?.stage('queue', startMs, beganMs);
      call.observation?.stage('primary', beganMs, endMs);
      return result;
    },
    network(run) {
      const startMs = performance.now();
      const count = () => {
        const endMs = performance.now();
        networkMs += endMs - startMs;
        work.dynamic((endMs - startMs) / 1000);
        call.observation?.stage('dynamic', startMs, endMs);
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
