/** A Prometheus histogram for what happens at every request: observing is a few comparisons and two additions, without a lookup of labels. */

import {
  Histogram,
  type HistogramConfiguration,
  type MetricObjectWithValues,
  type MetricType,
  type MetricValueWithName,
} from 'prom-client';

type Series = {
  readonly labels: Record<string, string>;
  /** Observations of each bucket alone; the last are those above every bound. */
  readonly counts: Float64Array;
  sum: number;
};

export class SlotHistogram<Label extends string> extends Histogram<Label> {
  readonly #series = new Map<string, Series>();
  readonly #configuration: HistogramConfiguration<Label>;
  readonly #bounds: readonly number[];

  /** @param configuration its buckets in rising order */
  constructor(configuration: HistogramConfiguration<Label> & { readonly buckets: number[] }) {
    super(configuration);
    this.#configuration = configuration;
    this.#bounds = configuration.buckets;
  }

  /** The series of these labels, which shows from now on; the result observes a value of it. */
  slot(labels: Record<Label, string>): (value: number) => void {
    const bounds = this.#bounds;
    const key = JSON.stringify(labels);
    const one = this.#series.get(key) ?? { labels, counts: new Float64Array(bounds.length + 1), sum: 0 };
    this.#series.set(key, one);
    return (value) => {
      let bucket = 0;
      while (bucket < bounds.length && value > bounds[bucket]!) bucket++;
      one.counts[bucket]!++;
      one.sum += value;
    };
  }

  override async get(): Promise<MetricObjectWithValues<MetricValueWithName<Label>>> {
    const { name, help } = this.#configuration;
    return {
      name,
      help,
      // The declaration has numbers where the library has these words.
      type: 'histogram' as unknown as MetricType,
      aggregator: 'sum',
      collect: () => {},
      values: [...this.#series.values()].flatMap((series) => this.#valuesOf(name, series)),
    };
  }

  /** The registry asks this one when it writes text. */
  getForPromString(): Promise<MetricObjectWithValues<MetricValueWithName<Label>>> {
    return this.get();
  }

  #valuesOf(name: string, { labels, counts, sum }: Series): MetricValueWithName<Label>[] {
    const line = (suffix: string, value: number, le?: number | string) => ({
      metricName: `${name}_${suffix}`,
      value,
      labels: (le === undefined ? labels : { le, ...labels }) as MetricValueWithName<Label>['labels'],
    });
    let total = 0;
    const buckets = this.#bounds.map((bound, i) => {
      total += counts[i]!;
      return line('bucket', total, bound);
    });
    total += counts[this.#bounds.length]!;
    return [...buckets, line('bucket', total, '+Inf'), line('sum', sum), line('count', total)];
  }
}
