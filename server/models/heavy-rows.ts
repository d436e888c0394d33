/**
 * From how many rows on a batch of a plain policy runs in the pool, on its device, and not on the event loop: measured, because it
 * depends on the machine, the device and the network. Two things are to be had there: an answer that comes sooner, and an event loop
 * that is free for others.
 */

export type HeavyRows = {
  /** Batches of so many rows and more go to the pool; infinite where none that a request may have does. */
  readonly rowCount: number;
  /** What a run of so many rows took on the event loop, microseconds; undefined where none does. */
  readonly inlineUs: number | undefined;
  /** What it took in the pool, the way there and back included; undefined where that did not matter. */
  readonly pooledUs: number | undefined;
};

export type MeasureOptions = {
  /** One run of so many rows on the event loop. */
  readonly inline: (rowCount: number) => unknown;
  /** The same in the pool. */
  readonly pooled: (rowCount: number) => Promise<unknown>;
  /** Where to begin: what is smaller never goes. */
  readonly rowCountMin: number;
  readonly rowCountMax: number;
  /** Milliseconds; `performance.now` unless a test has its own. */
  readonly clock?: () => number;
};

/** No longer does one batch keep the event loop, milliseconds: a hop to a thread takes a tenth of it. */
const inlineMsMax = 0.2;

/** The least of so many runs counts: what else the machine does only adds. */
const repeatCount = 5;

/**
 * Doubles the rows until the pool is faster or the event loop is kept too long. At most thirteen sizes for 4096 rows, and none of them
 * longer than the last: some milliseconds.
 */
export async function measureHeavyRows(options: MeasureOptions): Promise<HeavyRows> {
  const { inline, pooled, rowCountMin, rowCountMax, clock = () => performance.now() } = options;
  for (let rowCount = rowCountMin; rowCount <= rowCountMax; rowCount *= 2) {
    const inlineMs = await leastOf(() => inline(rowCount), clock);
    const inlineUs = Math.round(1000 * inlineMs);
    if (inlineMs >= inlineMsMax) return { rowCount, inlineUs, pooledUs: undefined };
    const pooledMs = await leastOf(() => pooled(rowCount), clock);
    if (pooledMs < inlineMs) return { rowCount, inlineUs, pooledUs: Math.round(1000 * pooledMs) };
  }
  return { rowCount: Number.POSITIVE_INFINITY, inlineUs: undefined, pooledUs: undefined };
}

async function leastOf(run: () => unknown, clock: () => number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < repeatCount; i++) {
    const startMs = clock();
    const done = run();
    if (done instanceof Promise) await done;
    least = Math.min(least, clock() - startMs);
  }
  return least;
}
