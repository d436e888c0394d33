/** Joins the metrics of several processes: each as its `aggregator` says, most by their sum. */

import { AggregatorRegistry, type Registry } from 'prom-client';
import type { MetricValues } from './messages.ts';

/** A metric that the library has joined: it returns its values synchronously. */
type Joined = { get(): MetricValues };

export const joinMetrics = (parts: readonly (readonly MetricValues[])[]): Registry =>
  AggregatorRegistry.aggregate(parts as never);

/** The server's start time is that of the parent. The library would drop that metric. */
export const joinWithParent = (
  parent: readonly MetricValues[],
  parts: readonly (readonly MetricValues[])[],
): Registry => joinMetrics([parent.map(asServers), ...parts]);

const asServers = (metric: MetricValues): MetricValues =>
  metric.name === 'process_start_time_seconds' ? { ...metric, aggregator: 'first' } : metric;

/** Counters and histograms, kept after a process has died, so that sums never fall. */
export function joinCounts(parts: readonly (readonly MetricValues[])[]): readonly MetricValues[] {
  const counts = parts.map((part) => part.filter(({ type }) => type === 'counter' || type === 'histogram'));
  return (joinMetrics(counts).getMetricsAsArray() as unknown as Joined[]).map((joined) => joined.get());
}
