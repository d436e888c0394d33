/** One request that computes: its version, when it is due, and the durations of its parts, which become the Timing of its response. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { HyperpolicyError } from '../../src/contract/errors.ts';
import type { TimingSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Call, Demand } from '../call/rpc.ts';
import type { ServerConfig } from '../config.ts';
import { type ServedVersion, whenHeld } from '../models/served-version.ts';
import type { WorkMetrics } from '../telemetry/metrics.ts';
import type { WeightBatch } from '../weights/generated-weights.ts';
import type { LookUp, WeightSource } from '../weights/weight-source.ts';
import { answerByDue, type Due, dueOf, isOver, lateError, requireClient } from './due-time.ts';

export type TaskDeps = {
  readonly config: ServerConfig;
  readonly work: WorkMetrics;
  /** Mean delay of the event loop, microseconds; 0 unless given. */
  readonly eventLoopDelayUs?: () => number;
};

export type TaskOptions = {
  /** Named in errors. */
  readonly method: string;
  readonly served: ServedVersion;
  readonly call: Call;
  readonly rowCount: number;
  /** 0, the default, means none. */
  readonly budgetUs?: number;
};

const microseconds = (milliseconds: number): number => Math.max(0, Math.round(milliseconds * 1000));

/** A class, since there is one per request: its methods are created once. */
export class Task {
  readonly served: ServedVersion;
  readonly call: Call;
  readonly due: Due | undefined;
  readonly #method: string;
  readonly #deps: TaskDeps;
  #queueMs = 0;
  #primaryMs = 0;
  #networkMs = 0;

  /** Call it when the request is checked: it is counted from now on. */
  constructor({ method, served, call, rowCount, budgetUs = 0 }: TaskOptions, deps: TaskDeps) {
    this.served = served;
    this.call = call;
    this.due = dueOf(call, budgetUs, deps.config.deadlineMarginMs);
    this.#method = method;
    this.#deps = deps;
    deps.work.rows(rowCount);
    call.answeredBy = served;
    call.record?.served(served, rowCount);
  }

  /** It is already too late to compute. */
  get isOver(): boolean {
    return this.due !== undefined && isOver(this.due, this.call);
  }

  /** The answer is due: the client has got an error or a fallback. */
  get isLate(): boolean {
    return this.due !== undefined && performance.now() >= this.due.atMs;
  }

  /** As lateError of due-time.ts. */
  lateError(computed: string): HyperpolicyError {
    return lateError(this.#method, this.due!, computed);
  }

  /** To be called between two pieces of work. @throws HyperpolicyError cancelled if the client no longer waits */
  requireClient(): void {
    requireClient(this.#method, this.call);
  }

  /** For an answer that takes several turns: holds the version meanwhile, and fails when the answer is due. @param computed as lateError */
  inTime<T>(
    answer: () => Promise<T>,
    computed = 'The batch is too large or the server too busy for this deadline',
  ): Promise<T> {
    return this.byDue(whenHeld(this.served, answer), () => {
      throw this.lateError(computed);
    });
  }

  /** As answerByDue of due-time.ts. */
  byDue<T>(answer: Promise<T>, late: () => T): Promise<T> {
    return answerByDue(answer, this.due, late, (error) => this.call.failLate(error));
  }

  /** The weights for what was looked up, as WeightSource.complete. Waiting time is counted. */
  weights(source: WeightSource, found: LookUp, demand: Demand = this.call): WeightBatch | Promise<WeightBatch> {
    const startMs = performance.now();
    const weights = source.complete(found, demand);
    return weights instanceof Promise ? this.#generated(startMs, weights) : weights;
  }

  async #generated(startMs: number, wait: Promise<WeightBatch>): Promise<WeightBatch> {
    const batch = await wait;
    const endMs = performance.now();
    const beganMs = Math.max(startMs, batch.startedAtMs ?? startMs);
    this.#queueMs += beganMs - startMs;
    this.#primaryMs += endMs - startMs;
    this.#deps.work.primary((endMs - beganMs) / 1000);
    const { record } = this.call;
    if (beganMs > startMs) record?.stage('queue', startMs, beganMs);
    record?.stage('primary', beganMs, endMs);
    return batch;
  }

  /** Runs a network, and counts the time until the result is there. */
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
    this.call.record?.stage('dynamic', startMs, endMs);
  }

  /** Milliseconds so far: `queue` is waiting for generations to begin, `compute` generating weights and running networks. */
  get workMs(): { readonly queue: number; readonly compute: number } {
    return { queue: this.#queueMs, compute: this.#primaryMs - this.#queueMs + this.#networkMs };
  }

  /** Fields of every response. */
  responseTo({ sequence }: { readonly sequence: bigint }) {
    const { version, publishedAtMs } = this.served;
    return { version, weightAgeMs: Date.now() - publishedAtMs, sequence, timing: this.#timing() };
  }

  #timing(): MessageInitShape<typeof TimingSchema> {
    return {
      totalUs: microseconds(performance.now() - this.call.receivedAtMs),
      primaryUs: microseconds(this.#primaryMs),
      networkUs: microseconds(this.#networkMs),
      eventLoopDelayUs: this.#deps.eventLoopDelayUs?.() ?? 0,
    };
  }
}
