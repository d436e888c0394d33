/**
 * A primary and its dynamic network in one run: for rows whose contexts (for a critic: observations) are new. Nothing that is generated
 * leaves the device, and nothing is kept. The second request for a context generates weights that are kept.
 */

import { AskedBefore } from '../../src/memory/asked-before.ts';
import { feedsOf } from '../../src/onnx/feeds.ts';
import type { Device } from '../../src/onnx/providers.ts';
import type { RowResults } from '../../src/onnx/rows/row-network.ts';
import type { TensorRule } from '../../src/package/graph-contract.ts';
import type { Demand } from '../call/rpc.ts';
import { deadlineFor } from '../compute/batcher.ts';
import type { HeavyGraph } from '../compute/compute-pool.ts';
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

export class FusedNetwork {
  /** Requests with fewer rows get weights that are kept. */
  rowCountMin = 1;
  readonly #graph: Pick<HeavyGraph, 'run'>;
  readonly #inputs: readonly TensorRule[];
  readonly #asked = new AskedBefore();

  /** @param inputs those of primary and dynamic network together */
  constructor(graph: Pick<HeavyGraph, 'run'>, inputs: readonly TensorRule[]) {
    this.#graph = graph;
    this.#inputs = inputs;
  }

  /** Whether it answers a request: more than half of the rows have a context each that nobody asked for before. Notes what is asked for. */
  takes({ keys, entries, values }: LookUp, rowCount: number): boolean {
    if (rowCount < this.rowCountMin) return false;
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
    const outputs = await this.#graph.run({ feeds, rowCount, deadline: deadlineFor(demand) });
    return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data as Float32Array]));
  };
}
