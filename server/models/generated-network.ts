/** A primary and its dynamic network, loaded: what hyper policies and hyper critics share. And what every network is opened with. */

import type { RowResults } from '../../src/onnx/rows/row-network.ts';
import type { Session } from '../../src/onnx/session.ts';
import { createSmallNetwork } from '../../src/onnx/small-network.ts';
import type { ListedFile } from '../../src/package/listed-file.ts';
import type { Graph, Manifest } from '../../src/package/manifest.ts';
import type { ComputePool, Priority } from '../compute/compute-pool.ts';
import { namesOf } from '../compute/executors.ts';
import type { ContextCache } from '../weights/context-cache.ts';
import { joinWeights, type WeightBatch, weightLayout } from '../weights/generated-weights.ts';
import { WeightSource } from '../weights/weight-source.ts';
import { checkGraph, type GraphRule, type TensorRule } from './graph-contract.ts';

export type OpenNetworkOptions = {
  readonly manifest: Manifest;
  readonly files: ReadonlyMap<string, ListedFile>;
  /** Heavy graphs. */
  readonly pool: Pick<ComputePool, 'open'>;
  /** Opens a graph that runs where the request is, also its bytes. */
  readonly openInline: (file: string) => Promise<{ readonly model: Uint8Array; readonly session: Session }>;
  readonly cache: ContextCache;
  /** Of this version alone. */
  readonly keyPrefix: string;
};

export type GeneratedNetwork = {
  readonly weights: WeightSource;
  /** Runs the dynamic network here; many rows in several turns of the event loop. */
  run(
    rowCount: number,
    rows: Readonly<Record<string, Float32Array | undefined>>,
    weights: WeightBatch,
  ): RowResults | Promise<RowResults>;
  /** The same weights, for several runs: joined now, where each run would join them again. */
  joined(weights: WeightBatch): WeightBatch;
  dispose(): void;
};

export type GeneratedNetworkRule = GraphRule & {
  readonly priority: Priority;
  /** What the primary takes. */
  readonly from: { readonly name: string; readonly size: number };
};

/**
 * Opens both graphs. The caller disposes the network.
 * @param rule `inputs` and `outputs` of the dynamic network, beside the weights and their index
 */
export async function openGeneratedNetwork(
  { files, pool, openInline, cache, keyPrefix }: OpenNetworkOptions,
  { primary, dynamic }: { readonly primary: Graph; readonly dynamic: Graph },
  { priority, from, inputs, outputs }: GeneratedNetworkRule,
): Promise<GeneratedNetwork> {
  const heavy = await pool.open(files.get(primary.file)!, { name: primary.file, priority });
  const inline = await openInline(dynamic.file);
  const layout = weightLayout(primary);
  const generated: TensorRule[] = layout.parts.map(({ name, shape }) => ({ name, sizes: shape }));
  checkGraph(primary, heavy, { inputs: [{ name: from.name, sizes: [from.size] }], outputs: generated });
  const dynamicInputs = [...inputs, { name: 'index', sizes: [] }, ...generated];
  checkGraph(dynamic, namesOf(inline.session), { inputs: dynamicInputs, outputs });
  const small = createSmallNetwork({ ...inline, weightNames: layout.parts.map(({ name }) => name) });
  return {
    weights: new WeightSource({
      primary: heavy,
      layout,
      inputName: from.name,
      inputSize: from.size,
      cache,
      keyPrefix,
    }),
    run(rowCount, rows, weights) {
      const { entries, index } = weights;
      return small.run({ rowCount, rows, weights: { entries, index, feeds: () => joinWeights(layout, weights) } });
    },
    joined: (weights) => (small.runsByRow(1) ? weights : { ...weights, feeds: joinWeights(layout, weights) }),
    dispose() {
      inline.session.dispose();
      heavy.dispose();
    },
  };
}
