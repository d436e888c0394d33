/** Loaded policies and critics: named rows in, named rows out. Knows nothing of requests. */

import { float32Bounds } from '../../src/contract/bounds.ts';
import type { Climbing } from '../../src/onnx/climbing.ts';
import { feedsOf, valuesOf } from '../../src/onnx/feeds.ts';
import { joiningOf } from '../../src/onnx/joined.ts';
import type { Device } from '../../src/onnx/providers.ts';
import { rowIndexTensor } from '../../src/onnx/row-index.ts';
import type { RowResults } from '../../src/onnx/rows/row-network.ts';
import type { Session } from '../../src/onnx/session.ts';
import { createSmallNetwork } from '../../src/onnx/small-network.ts';
import { checkGraph, type GraphRule, rowRules, type TensorRule } from '../../src/package/graph-contract.ts';
import type { ListedFile } from '../../src/package/listed-file.ts';
import type { Graph, Manifest } from '../../src/package/manifest.ts';
import { deadlineFor } from '../compute/batcher.ts';
import type { ComputePool, Priority } from '../compute/compute-pool.ts';
import type { ContextCache } from '../weights/context-cache.ts';
import { joinWeights, type WeightBatch, weightLayout } from '../weights/generated-weights.ts';
import { WeightSource } from '../weights/weight-source.ts';
import { FusedNetwork, mayFuse, type NetworkRun, type NewRows } from './fused-network.ts';

type NetworkInputs = NetworkRun & {
  /** The weights for each row if a primary generates them. */
  readonly weights?: WeightBatch | undefined;
};

export type ServedNetwork = {
  /** Generates weights; undefined if the network is one plain graph. */
  readonly weights: WeightSource | undefined;
  /** The same without weights, for rows that are new; undefined if they are not run so. Probes take it away if it does not run. */
  fused: FusedNetwork | undefined;
  /** Why they are not, or their ascents are not, if they should be. */
  notFused?: string | undefined;
  /** Inputs and outputs of the contract that the graph has. */
  readonly tensors: GraphRule;
  /**
   * Outputs by the names of the contract, [B, ...], not yet checked. Few rows of a small network run at once on the calling thread. Many
   * rows of a dynamic network take several turns of the event loop. All other runs go to the pool.
   */
  run(inputs: NetworkInputs): RowResults | Promise<RowResults>;
  dispose(): void;
};

export type OpenNetworkOptions = {
  readonly manifest: Manifest;
  readonly files: ReadonlyMap<string, ListedFile>;
  /** For heavy graphs. */
  readonly pool: Pick<ComputePool, 'open'>;
  /**
   * Opens a graph to run where the request is, with its bytes; undefined where the work of a run is large or not known beforehand: only a
   * thread of the pool can be given up.
   */
  readonly openInline: (
    file: string,
    weightNames?: readonly string[],
  ) => Promise<{ readonly model: Uint8Array; readonly session: Session } | undefined>;
  readonly cache: ContextCache;
  /** Unique to this version. */
  readonly keyPrefix: string;
  readonly newRows: NewRows;
  /** Of heavy graphs. */
  readonly device: Device;
};

/** `observation`, `context` if it takes one, `noise` -> `action`, `log_prob` if it is defined. */
export type ServedPolicy = ServedNetwork & { readonly stochastic: boolean };

/** Opens the policy of a package; null if it has none. The caller disposes it. */
export async function openPolicy(options: OpenNetworkOptions): Promise<ServedPolicy | null> {
  const { policy } = options.manifest;
  if (policy === null) return null;
  const { stochastic } = policy;
  const { observation, noise, action, context, contexts } = rowRules(options.manifest);
  const logProb = { name: 'log_prob', sizes: [], optional: true };
  const network = await openNetwork(options, policy, {
    priority: 'act',
    runsHere: true,
    from: context,
    inputs: [observation, ...contexts, ...(stochastic ? [noise] : [])],
    outputs: stochastic ? [action, logProb] : [action],
  });
  return { ...network, stochastic };
}

/**
 * `observation`, `action`, `context` if it takes one -> `q` [B, Q] and `dq_da` [B, Q, A] of its ensemble of Q value functions. A primary
 * generates weights from the observation.
 */
export type ServedCritic = ServedNetwork & {
  readonly ensembleSize: number;
  /** Values of the context that the critic takes; 0 if it takes none, even if the policy takes one. */
  readonly contextSize: number;
};

/** Opens the critic of a package; null if it has none. The caller disposes it. */
export async function openCritic(options: OpenNetworkOptions): Promise<ServedCritic | null> {
  const { critic } = options.manifest;
  if (critic === null) return null;
  const { ensembleSize } = critic;
  const graph = critic.kind === 'plain' ? critic.graph : critic.dynamic;
  const takesContext = graph.inputs.some(({ name }) => name === 'context');
  const { observation, action, context, contexts } = rowRules(options.manifest);
  const network = await openNetwork(options, critic, {
    priority: 'q-grad',
    runsHere: false,
    from: observation,
    inputs: [observation, action, ...(takesContext ? contexts : [])],
    outputs: [
      { name: 'q', sizes: [ensembleSize] },
      { name: 'dq_da', sizes: [ensembleSize, ...action.sizes] },
    ],
    climb: { ...float32Bounds(options.manifest.action), ensembleSize },
  });
  return { ...network, ensembleSize, contextSize: takesContext ? context.sizes[0]! : 0 };
}

/** `inputs` are those of a plain graph; a primary and its dynamic network share them. */
type NetworkRule = GraphRule & {
  readonly priority: Priority;
  /** The input of a primary; a dynamic network takes the other inputs. */
  readonly from: TensorRule;
  /** A small plain graph runs on the calling thread. */
  readonly runsHere: boolean;
  /** Of a critic: how its action climbs. */
  readonly climb?: Climbing;
};

type HyperGraphs = { readonly primary: Graph; readonly dynamic: Graph };
type Graphs = { readonly kind: 'plain'; readonly graph: Graph } | ({ readonly kind: 'hyper' } & HyperGraphs);

/**
 * Opens a network and checks it against the contract. The caller disposes it.
 * @throws HyperpolicyError: a graph that does not load or breaks the contract
 */
const openNetwork = (options: OpenNetworkOptions, graphs: Graphs, rule: NetworkRule): Promise<ServedNetwork> =>
  graphs.kind === 'plain' ? openPlain(options, graphs.graph, rule) : openGenerated(options, graphs, rule);

/**
 * A run of a plain graph with at least this many multiplications goes to the pool: it would block the event loop for about 0.2 ms
 * (measured: 2^21.2 to 2^22.1 take 0.2 to 0.3 ms, for widths of 128 to 900). A smaller run is faster here, since the way to a thread
 * and back takes 0.35 ms (test/bench/NOTES.md).
 */
const pooledWorkMin = 2 ** 22;

async function openPlain(
  { files, pool, openInline }: OpenNetworkOptions,
  graph: Graph,
  rule: NetworkRule,
): Promise<ServedNetwork> {
  const { priority, inputs, runsHere } = rule;
  const file = files.get(graph.file)!;
  const inline = runsHere ? await openInline(graph.file) : undefined;
  const pooled = await pool.open(file, { name: graph.file, priority });
  checkGraph(graph, pooled, rule);
  const small = inline && createSmallNetwork(inline);
  const hereRowCountMax = small === undefined ? 0 : Math.ceil(pooledWorkMin / Math.max(1, small.workPerRow)) - 1;

  async function runPooled({ rowCount, rows, demand }: NetworkInputs): Promise<RowResults> {
    const feeds = feedsOf(inputs, rowCount, rows);
    return valuesOf(await pooled.run({ feeds, rowCount, deadline: deadlineFor(demand) }));
  }

  return {
    weights: undefined,
    fused: undefined,
    tensors: tensorsOf(graph, rule),
    run(given) {
      if (small === undefined || given.rowCount > hereRowCountMax) return runPooled(given);
      return small.run({ rowCount: given.rowCount, rows: given.rows });
    },
    dispose() {
      inline?.session.dispose();
      pooled.dispose();
    },
  };
}

async function openGenerated(
  { files, pool, openInline, cache, keyPrefix, newRows, device }: OpenNetworkOptions,
  { primary, dynamic }: HyperGraphs,
  rule: NetworkRule,
): Promise<ServedNetwork> {
  const { priority, from, inputs, outputs, climb } = rule;
  const layout = weightLayout(primary);
  const weightNames = layout.parts.map(({ name }) => name);
  const inline = await openInline(dynamic.file, weightNames);
  const part = priority === 'act' ? 'policy' : 'critic';
  const [inputSize] = from.sizes;
  // Without a context there is one set of weights, which always comes back.
  const fuses = inputSize! > 0 && mayFuse(newRows, device, part);
  const joiningWith = (climbing?: Climbing) => inline && joiningOf(inline.model, weightNames, climbing);
  const ways = fuses ? [climb && joiningWith(climb), joiningWith()] : [];
  const joinings = ways.filter((way) => way !== undefined);
  const second = { names: { both: `${part}.fused`, climb: `${part}.ascent` }, joinings };
  const heavy = await pool.open(files.get(primary.file)!, { name: primary.file, priority, second });
  const small = inline && createSmallNetwork({ ...inline, weightNames });
  const options = { name: dynamic.file, priority, joins: false };
  const pooled = inline === undefined ? await pool.open(files.get(dynamic.file)!, options) : undefined;
  const generated: TensorRule[] = layout.parts.map(({ name, shape }) => ({ name, sizes: shape }));
  checkGraph(primary, heavy, { inputs: [from], outputs: generated });
  const others = inputs.filter(({ name }) => name !== from.name);
  const dynamicInputs = [...others, { name: 'index', sizes: [] }, ...generated];
  checkGraph(dynamic, inline?.session ?? pooled!, { inputs: dynamicInputs, outputs });
  return {
    weights: new WeightSource({
      primary: heavy,
      layout,
      inputName: from.name,
      inputSize: inputSize!,
      cache,
      keyPrefix,
    }),
    fused: heavy.both && new FusedNetwork({ both: heavy.both, climb: heavy.climb }, inputs),
    notFused:
      fuses && joinings.length === 0 ? `${dynamic.file} is not of the kind that can be joined` : heavy.notJoined,
    tensors: tensorsOf(dynamic, rule),
    run({ rowCount, rows, weights, demand }) {
      const { entries, index } = weights!;
      const join = () => joinWeights(layout, weights!);
      if (small !== undefined) return small.run({ rowCount, rows, weights: { entries, index, feeds: join } });
      const feeds = { ...feedsOf(others, rowCount, rows), ...join(), index: rowIndexTensor(index, rowCount) };
      return pooled!.run({ feeds, rowCount, deadline: deadlineFor(demand) }).then(valuesOf);
    },
    dispose() {
      inline?.session.dispose();
      pooled?.dispose();
      heavy.dispose();
    },
  };
}

const tensorsOf = (graph: Graph, { inputs, outputs }: GraphRule): GraphRule => ({
  inputs,
  outputs: outputs.filter(({ name }) => graph.outputs.some((output) => output.name === name)),
});
