/** Metrics of a process, for server and trainer: memory, processor time, event loop, garbage collection. */

import { collectDefaultMetrics, type Registry } from 'prom-client';

/** Gauges of the library's whose names are those of counters; `nodejs_active_resources` says the same. */
const misnamed = ['nodejs_active_resources_total', 'nodejs_active_handles_total', 'nodejs_active_requests_total'];

export function registerProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  for (const name of misnamed) registry.removeSingleMetric(name);
}
