/** Requests by the version that answers: calls, and the messages of streams. */

import type { Registry } from 'prom-client';
import { codeOf, type StatusName, statusCodes } from '../../src/contract/status.ts';
import { registerCounter, registerHistogram, type Slot } from '../../src/metrics/readings.ts';
import type { AnsweredBy } from '../call/request-record.ts';
import type { VersionLabels } from './version-labels.ts';

/**
 * Seconds: from 10 us (a small network on a stream) to 10 s (a batch through a large network). Finest from 0.1 to 50 ms, the periods of
 * control loops.
 */
export const secondBounds = [
  0.00001, 0.00002, 0.00005, 0.0001, 0.0003, 0.0006, 0.001, 0.002, 0.003, 0.005, 0.008, 0.013, 0.02, 0.03, 0.05, 0.1,
  0.25, 0.5, 1, 2.5, 5, 10,
];

/** A slot for each status. All are shown from the start, so that the first error of a kind shows as a rise. */
export const slotsByStatus = (slot: (grpc_code: string) => Slot): Readonly<Record<StatusName, Slot>> =>
  Object.fromEntries(Object.keys(statusCodes).map((name) => [name, slot(codeOf(name as StatusName))])) as Record<
    StatusName,
    Slot
  >;

/** @returns what counts requests that failed because their run did, though not as an internal fault */
export function registerRunFaults(registry: Registry): (status: StatusName) => void {
  const help = 'Requests that failed as there was no memory for their run or no code for the GPU, by status code';
  const count = registerCounter(registry, { name: 'hyperpolicy_run_faults_total', help });
  const byStatus = slotsByStatus((grpc_code) => count({ grpc_code }));
  return (status) => void byStatus[status].value++;
}

/** Counts a request that has ended. */
export type CountAnswer = (status: StatusName, seconds: number, answeredBy?: AnsweredBy) => void;

/** For requests that no version answers. */
const nobody: AnsweredBy = { model: '', version: 0 };

/** @returns what counts the requests of a method */
export function registerRequests(registry: Registry, versions: VersionLabels): (method: string) => CountAnswer {
  const { isGone } = versions;
  const requests = 'Requests answered, calls and messages of streams, by status code';
  const count = registerCounter(registry, { name: 'hyperpolicy_requests_total', help: requests, isGone });
  const help = 'From when the server had a request, a call or a message of a stream, to its answer';
  const latency = registerHistogram(registry, {
    name: 'hyperpolicy_request_seconds',
    help,
    bounds: secondBounds,
    isGone,
  });
  return (method) => {
    const open = (answeredBy: AnsweredBy) => {
      const labels = { method, ...versions.of(answeredBy) };
      const byStatus = slotsByStatus((grpc_code) => count({ ...labels, grpc_code }));
      return { byStatus, observe: latency(labels) };
    };
    // No text is made for a request: the version itself is the key.
    const opened = new WeakMap<AnsweredBy, ReturnType<typeof open>>();
    return (status, seconds, answeredBy = nobody) => {
      let series = opened.get(answeredBy);
      if (series === undefined) {
        series = open(answeredBy);
        opened.set(answeredBy, series);
      }
      series.byStatus[status].value++;
      series.observe(seconds);
    };
  };
}
