/** Joins the metrics of several processes: each as its `aggregator` says, most by their sum. */

import { AggregatorRegistry, type Registry } from 'prom-client';

/** A metric in a form that can be sent to another process. */
export type MetricValues = {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly aggregator: string;
  readonly values: readonly unknown[];
};

/** A metric that the library has joined: it returns its values synchronously. */
type Joined = { get(): MetricValues };

export const joinMetrics = (parts: readonly (readonly MetricValues[])[]): Registry =>
  AggregatorRegistry.aggregate(parts as never);

/** The start time is that of the parent. The library would drop that metric. */
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

/** Removes functions, which cannot be sent. */
export const metricValues = (metrics: readonly unknown[]): MetricValues[] =>
  (metrics as MetricValues[]).map(({ name, help, type, aggregator, values }) => ({
    name,
    help,
    type,
    aggregator,
    values,
  }));
