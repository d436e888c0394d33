/**
 * A primary and its dynamic network in one run: for rows whose contexts (for a critic: observations) are new. Nothing that is generated
 * leaves the device, and nothing is kept. The second request for a context generates weights that are kept. A critic takes the steps of an
 * ascent in such a run, too.
 */

import { AskedBefore } from '../../src/memory/asked-before.ts';
import { type Climb, type climbedAction, climbFeeds } from '../../src/onnx/climbing.ts';
import { feedsOf, valuesOf } from '../../src/onnx/feeds.ts';
import type { Device } from '../../src/onnx/providers.ts';
import type { RowResults } from '../../src/onnx/rows/row-network.ts';
import type { TensorRule } from '../../src/package/graph-contract.ts';
import type { Demand } from '../call/rpc.ts';
import { deadlineFor } from '../compute/batcher.ts';
import type { HeavyGraph, OpenedGraph } from '../compute/compute-pool.ts';
import type { ServerConfig } from '../config.ts';
import type { LookUp } from '../weights/weight-source.ts';

export type NewRows = ServerConfig['newRows'];

/**
 * Whether a network is opened so that it can run fused. On the CPU `auto` leaves policies out: their contexts come back, and the primary,
 * nearly all of the work, would run twice for each.
 */
export const mayFuse = (newRows: NewRows, device: Device, network: 'policy' | 'critic'): boolean =>
  newRows === 'fused' || (newRows === 'auto' && (device !== 'cpu' || network === 'critic'));

/** One run of a network. */
export type NetworkRun = {
  readonly rowCount: number;
  /** By the names of the contract, [B, ...]; an undefined one is zeros. Rows that the graph does not take are not read. */
  readonly rows: Readonly<Record<string, Float32Array | undefined>>;
  /** Work that is late or gone is dropped while it waits for a thread. */
  readonly demand: Demand;
};

/**
 * Longest time for the run of an ascent, as nothing ends it before it is done, nor runs between its rows. One that takes longer gets weights
 * that are kept.
 */
const climbMsMax = 100;

export type AscentTimes = {
  /** Requests with fewer rows get weights that are kept. */
  readonly rowCountMin: number;
  /** What a run without steps, and a step, took with so many rows. */
  readonly timedRowCount: number;
  readonly startMs: number;
  readonly stepMs: number;
};

export class FusedNetwork {
  /** Requests with fewer rows get weights that are kept. */
  rowCountMin = 1;
  /** Of ascents: as timed when the version is loaded. None is run fused unless given. */
  ascents: AscentTimes = { rowCountMin: Number.POSITIVE_INFINITY, timedRowCount: 1, startMs: 0, stepMs: 0 };
  /** Why none can be. */
  noAscents: string | undefined;
  readonly #graph: Pick<HeavyGraph, 'run'>;
  readonly #climbing: Pick<HeavyGraph, 'run'> | undefined;
  readonly #inputs: readonly TensorRule[];
  readonly #asked = new AskedBefore();

  /** @param inputs those of primary and dynamic network together */
  constructor(
    { both, climb }: { readonly both: Pick<HeavyGraph, 'run'>; readonly climb?: OpenedGraph['climb'] },
    inputs: readonly TensorRule[],
  ) {
    this.#graph = both;
    this.#climbing = climb;
    this.#inputs = inputs;
  }

  /** Whether it can climb. */
  get climbs(): boolean {
    return this.#climbing !== undefined;
  }

  /** Whether it answers a request: more than half of the rows have a context each that nobody asked for before. Notes what is asked for. */
  takes(found: LookUp, rowCount: number): boolean {
    return rowCount >= this.rowCountMin && this.#areMostlyNew(found, rowCount);
  }

  /** The same of an ascent. */
  takesAscent(found: LookUp, rowCount: number, stepCount: number): boolean {
    const { rowCountMin, timedRowCount, startMs, stepMs } = this.ascents;
    // Fewer rows take no longer than those that were timed, and more rows at most as much longer as they are more.
    const ms = (startMs + stepCount * stepMs) * Math.max(1, rowCount / timedRowCount);
    return rowCount >= rowCountMin && ms <= climbMsMax && this.#areMostlyNew(found, rowCount);
  }

  #areMostlyNew({ keys, entries, values }: LookUp, rowCount: number): boolean {
    const words = new Int32Array(values.buffer, values.byteOffset, values.length);
    const size = values.length / keys.length;
    let newCount = 0;
    for (let k = 0; k < keys.length; k++) {
      if (entries[k] === undefined && !this.#asked.note(words, k * size, (k + 1) * size)) newCount++;
    }
    return 2 * newCount > rowCount;
  }

  /** As ServedNetwork.run, without weights: `rows` have the input of the primary too. */
  readonly run = async ({ rowCount, rows, demand }: NetworkRun): Promise<RowResults> => {
    const feeds = feedsOf(this.#inputs, rowCount, rows);
    return valuesOf(await this.#graph.run({ feeds, rowCount, deadline: deadlineFor(demand) }));
  };

  /** The same where an ascent ends, and where that is ({@link climbedAction}). */
  async climb({ rowCount, rows, demand }: NetworkRun, climb: Climb): Promise<RowResults> {
    const feeds = { ...feedsOf(this.#inputs, rowCount, rows), ...climbFeeds(climb) };
    return valuesOf(await this.#climbing!.run({ feeds, rowCount, deadline: deadlineFor(demand) }));
  }
}
