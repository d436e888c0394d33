/** Where the time of one request went; becomes the Timing of its response. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { TimingSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Call } from '../call/rpc.ts';
import type { WorkMetrics } from '../telemetry/metrics.ts';

const microseconds = (milliseconds: number): number => Math.max(0, Math.round(milliseconds * 1000));

export type TimerDeps = {
  /** Smoothed lateness of the event loop, microseconds; 0 unless given. */
  readonly eventLoopDelayUs?: () => number;
  readonly work: Pick<WorkMetrics, 'primary' | 'dynamic'>;
};

/** One per request, so a class: its methods are made once. */
export class RequestTimer {
  readonly #call: Call;
  readonly #deps: TimerDeps;
  #queueMs = 0;
  #primaryMs = 0;
  #networkMs = 0;

  constructor(call: Call, deps: TimerDeps) {
    this.#call = call;
    this.#deps = deps;
  }

  /** Waits for a generation that was asked for at `startMs` on the clock of `performance.now()`, and counts it. */
  async primary<T extends { readonly startedAtMs?: number }>(startMs: number, wait: Promise<T>): Promise<T> {
    const result = await wait;
    const endMs = performance.now();
    const beganMs = Math.max(startMs, result.startedAtMs ?? startMs);
    this.#queueMs += beganMs - startMs;
    this.#primaryMs += endMs - startMs;
    this.#deps.work.primary((endMs - beganMs) / 1000);
    const { record } = this.#call;
    if (beganMs > startMs) record?.stage('queue', startMs, beganMs);
    record?.stage('primary', beganMs, endMs);
    return result;
  }

  /** Counts the run as time for the network, until it settles where it is a promise. */
  network<T>(run: () => T): T {
    const startMs = performance.now();
    const result = run();
    if (result instanceof Promise) return result.finally(() => this.#ran(startMs)) as typeof result;
    this.#ran(startMs);
    return result;
  }

  #ran(startMs: number): void {
    const endMs = performance.now();
    this.#networkMs += endMs - startMs;
    this.#deps.work.dynamic((endMs - startMs) / 1000);
    this.#call.record?.stage('dynamic', startMs, endMs);
  }

  /** Milliseconds so far: waiting for the turn of a generation, and generating and running networks. */
  get workMs(): { readonly queue: number; readonly compute: number } {
    return { queue: this.#queueMs, compute: this.#primaryMs - this.#queueMs + this.#networkMs };
  }

  timing(): MessageInitShape<typeof TimingSchema> {
    return {
      totalUs: microseconds(performance.now() - this.#call.receivedAtMs),
      primaryUs: microseconds(this.#primaryMs),
      networkUs: microseconds(this.#networkMs),
      eventLoopDelayUs: this.#deps.eventLoopDelayUs?.() ?? 0,
    };
  }
}
