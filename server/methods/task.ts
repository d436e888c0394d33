/** One request that computes: with which version, until when, and where its time goes, which becomes the Timing of its response. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { HyperpolicyError } from '../../src/contract/errors.ts';
import type { TimingSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Call, Demand } from '../call/rpc.ts';
import type { Rows } from '../call/tensors.ts';
import type { ServerConfig } from '../config.ts';
import { type ServedVersion, whenHeld } from '../models/served-version.ts';
import type { WorkMetrics } from '../telemetry/metrics.ts';
import type { WeightBatch } from '../weights/generated-weights.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { answerByDue, type Due, dueOf, isOver, lateError, requireClient } from './due-time.ts';

export type TaskDeps = {
  readonly config: ServerConfig;
  readonly work: WorkMetrics;
  /** Smoothed lateness of the event loop, microseconds; 0 unless given. */
  readonly eventLoopDelayUs?: () => number;
};

export type TaskOptions = {
  /** Named in errors. */
  readonly method: string;
  readonly served: ServedVersion;
  readonly call: Call;
  readonly rowCount: number;
  /** 0, the default, is none. */
  readonly budgetUs?: number;
};

const microseconds = (milliseconds: number): number => Math.max(0, Math.round(milliseconds * 1000));

/** One per request, so a class: its methods are made once. */
export class Task {
  readonly served: ServedVersion;
  readonly call: Call;
  readonly due: Due | undefined;
  readonly #method: string;
  readonly #deps: TaskDeps;
  #queueMs = 0;
  #primaryMs = 0;
  #networkMs = 0;

  /** Begins when the request is checked: from now on it counts. */
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

  /** Whether the answer is due before anything is computed. */
  get isOver(): boolean {
    return this.due !== undefined && isOver(this.due, this.call);
  }

  /** Whether the answer has become due: whoever asked has been told so. */
  get isLate(): boolean {
    return this.due !== undefined && performance.now() >= this.due.atMs;
  }

  /** The error of an answer that is not there in time. @param computed what became of the work, as a sentence */
  lateError(computed: string): HyperpolicyError {
    return lateError(this.#method, this.due!, computed);
  }

  /** Between two pieces of work. @throws HyperpolicyError cancelled where nobody waits for the answer */
  requireClient(): void {
    requireClient(this.#method, this.call);
  }

  /** An answer that takes several turns: the version stays meanwhile, and the client waits no longer than until it is due. */
  inTime<T>(answer: () => Promise<T>, computed: string): Promise<T> {
    return answerByDue(whenHeld(this.served, answer), this.due, () => {
      throw this.lateError(computed);
    });
  }

  /** The weights for these rows, as WeightSource.weightsFor; where they are waited for, that is counted. */
  weights(source: WeightSource, rows: Rows, demand: Demand = this.call): WeightBatch | Promise<WeightBatch> {
    const startMs = performance.now();
    const weights = source.weightsFor(rows, demand);
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
    this.call.record?.stage('dynamic', startMs, endMs);
  }

  /** Milliseconds so far: waiting for the turn of a generation, and generating and running networks. */
  get workMs(): { readonly queue: number; readonly compute: number } {
    return { queue: this.#queueMs, compute: this.#primaryMs - this.#queueMs + this.#networkMs };
  }

  /** What every response has. */
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
