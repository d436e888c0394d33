/**
 * Metrics as plain numbers, which are formatted only when a scraper asks. One observation of a histogram takes 0.03 us; the library's
 * takes 0.6 us with one label. A message of a stream makes three observations (test/bench/NOTES.md).
 */

import type { Metric, Registry } from 'prom-client';

export type Labels = Readonly<Record<string, string | number>>;

/** A value in Prometheus' form. */
export type Reading = { readonly labels: Labels; readonly value: number; readonly metricName?: string };

/** Readings of the same labels as one: a scrape with the same series twice is refused. */
export function summed(readings: readonly Reading[]): readonly Reading[] {
  const byKey = new Map<string, Reading>();
  for (const reading of readings) {
    const key = JSON.stringify(reading.labels);
    byKey.set(key, { ...reading, value: reading.value + (byKey.get(key)?.value ?? 0) });
  }
  return [...byKey.values()];
}

type Named = { readonly name: string; readonly help: string };

/** A metric that drops series. */
type Going = Named & {
  /** Whether a series belongs to something that is gone. It is shown once more, then dropped. */
  readonly isGone?: ((labels: Labels) => boolean) | undefined;
};

export type ReadMetric = Named & {
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** How the values of several processes are joined; the sum by default. */
  readonly aggregator?: 'sum' | 'min' | 'max';
};

/** Registers a metric whose values are read when a scraper asks. */
export function registerReadings(registry: Registry, metric: ReadMetric, read: () => readonly Reading[]): void {
  const get = async () => ({ aggregator: 'sum', ...metric, values: read() });
  // The library accepts any object like this (it registers such objects when it joins processes) but declares its own classes only.
  registry.registerMetric({ name: metric.name, get } as unknown as Metric);
}

/** One count of a counter. It is shown as soon as it exists. */
export type Slot = { value: number; readonly labels: Labels };

/** @returns the slot of some labels */
export function registerCounter(registry: Registry, { isGone, ...about }: Going): (labels: Labels) => Slot {
  const slots = byLabels((labels): Slot => ({ labels, value: 0 }), isGone);
  registerReadings(registry, { ...about, type: 'counter' }, slots.all);
  return slots.of;
}

export type Observe = (value: number) => void;

/**
 * @param bounds of the buckets, ascending; one more bucket is for larger values
 * @returns the function that observes values with some labels
 */
export function registerHistogram(
  registry: Registry,
  { name, help, bounds, isGone }: Going & { readonly bounds: readonly number[] },
): (labels: Labels) => Observe {
  const series = byLabels((labels) => {
    const counts = new Float64Array(bounds.length + 1);
    const one = { labels, counts, sum: 0 };
    const observe = (value: number) => {
      let bucket = 0;
      while (bucket < bounds.length && value > bounds[bucket]!) bucket++;
      counts[bucket]!++;
      one.sum += value;
    };
    return { one, observe };
  }, isGone);
  const readingsOf = (labels: Labels, counts: Float64Array, sum: number): Reading[] => {
    let total = 0;
    const buckets = [...bounds, '+Inf'].map((le, i) => {
      total += counts[i]!;
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: total };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: total },
    ];
  };
  registerReadings(registry, { name, help, type: 'histogram' }, () =>
    series.all().flatMap(({ one: { labels, counts, sum } }) => readingsOf(labels, counts, sum)),
  );
  return (labels) => series.of(labels).observe;
}

/** One of something for each set of labels. */
function byLabels<T>(make: (labels: Labels) => T, isGone: (labels: Labels) => boolean = () => false) {
  const known = new Map<string, { readonly labels: Labels; readonly one: T }>();
  return {
    all(): readonly T[] {
      const all = [...known];
      for (const [key, { labels }] of all) if (isGone(labels)) known.delete(key);
      return all.map(([, { one }]) => one);
    },
    of(labels: Labels): T {
      const key = JSON.stringify(labels);
      const { one } = known.get(key) ?? { one: make(labels) };
      known.set(key, { labels, one });
      return one;
    },
  };
}
