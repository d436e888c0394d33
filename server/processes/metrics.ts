/** Metrics of several processes as those of one server: each is joined as its own `aggregator` says; most are summed. */

import { AggregatorRegistry, type Registry } from 'prom-client';
import type { MetricValues } from './messages.ts';

/** What the library makes of a metric that it has joined: it gives the values at once. */
type Joined = { get(): MetricValues };

/** @param parts of each process */
export const joinMetrics = (parts: readonly (readonly MetricValues[])[]): Registry =>
  AggregatorRegistry.aggregate(parts as never);

/** Of a server: when it started is when its parent did, which the library leaves out. */
export const joinWithParent = (
  parent: readonly MetricValues[],
  parts: readonly (readonly MetricValues[])[],
): Registry => joinMetrics([parent.map(asServers), ...parts]);

const asServers = (metric: MetricValues): MetricValues =>
  metric.name === 'process_start_time_seconds' ? { ...metric, aggregator: 'first' } : metric;

/** The counters and histograms of these processes, kept after they have died, so that sums never fall. */
export function joinCounts(parts: readonly (readonly MetricValues[])[]): readonly MetricValues[] {
  const counts = parts.map((part) => part.filter(({ type }) => type === 'counter' || type === 'histogram'));
  return (joinMetrics(counts).getMetricsAsArray() as unknown as Joined[]).map((joined) => joined.get());
}
