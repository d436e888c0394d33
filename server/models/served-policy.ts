/** A policy that is loaded: observations, contexts and noise in, bounded actions out. Knows nothing of requests. */

import { floatTensor, type Session, type TensorMap } from '../../src/onnx/session.ts';
import { createSmallNetwork, type SmallNetwork, type SmallRun } from '../../src/onnx/small-network.ts';
import type { ListedFile } from '../../src/package/listed-file.ts';
import type { Manifest } from '../../src/package/manifest.ts';
import type { ComputePool, HeavyGraph } from '../compute/compute-pool.ts';
import { namesOf } from '../compute/executors.ts';
import type { ContextCache } from '../weights/context-cache.ts';
import { joinWeights, weightLayout } from '../weights/generated-weights.ts';
import { createWeightSource, type WeightSource } from '../weights/weight-source.ts';
import { checkGraph, sizesOf, type TensorRule } from './graph-contract.ts';
import { type HeavyRows, measureHeavyRows } from './heavy-rows.ts';
import { createPolicyBatcher } from './policy-batcher.ts';
import type { PolicyInputs, PolicyOutputs } from './policy-rows.ts';

export type ServedPolicy = {
  readonly stochastic: boolean;
  /** Generates weights from contexts; undefined for plain policies. */
  readonly weights: WeightSource | undefined;
  /**
   * The plain policy, or the dynamic network. Few rows at once on the calling thread; many rows of a plain policy on a thread of the
   * pool, of a dynamic network in several turns of the event loop.
   */
  run(inputs: PolicyInputs): PolicyOutputs | Promise<PolicyOutputs>;
  dispose(): void;
};

export type OpenNetworkOptions = {
  readonly manifest: Manifest;
  readonly files: ReadonlyMap<string, ListedFile>;
  /** Heavy graphs. */
  readonly pool: ComputePool;
  /** Opens a graph that runs where the request is, also its bytes. */
  readonly openInline: (file: string) => Promise<{ readonly model: Uint8Array; readonly session: Session }>;
  /** Whether another request may come in this turn of the event loop. */
  readonly expectsMore: () => boolean;
  readonly cache: ContextCache;
  /** Of this version alone. */
  readonly keyPrefix: string;
  /** Of a request. */
  readonly rowCountMax: number;
  /** Told from how many rows on a plain policy's batches run in the pool. */
  readonly onHeavyRows: (found: HeavyRows & { readonly graph: string }) => void;
};

/** Opens the policy of a package; null where it has none. The caller disposes it. */
export async function openPolicy(options: OpenNetworkOptions): Promise<ServedPolicy | null> {
  const { manifest, files, pool, openInline, expectsMore, cache, keyPrefix, rowCountMax, onHeavyRows } = options;
  const { policy } = manifest;
  if (policy === null) return null;
  const { stochastic } = policy;
  const { observationSize, actionSize, contextSize } = sizesOf(manifest);
  const context: TensorRule[] = contextSize > 0 ? [{ name: 'context', sizes: [contextSize] }] : [];
  const base: TensorRule[] = [{ name: 'observation', sizes: [observationSize] }];
  if (stochastic) base.push({ name: 'noise', sizes: [actionSize] });
  const outputs: TensorRule[] = [{ name: 'action', sizes: [actionSize] }];
  if (stochastic) outputs.push({ name: 'log_prob', sizes: [], optional: true });

  const graph = policy.kind === 'plain' ? policy.graph : policy.dynamic;
  const isLarge = policy.kind === 'plain' && files.get(graph.file)!.bytes > inlineBytesMax;
  const inline = isLarge ? undefined : await openInline(graph.file);
  let weights: WeightSource | undefined;
  let heavy: HeavyGraph;
  if (policy.kind === 'plain') {
    heavy = await pool.open(files.get(graph.file)!, { name: graph.file, priority: 'act' });
    checkGraph(graph, heavy, { inputs: [...base, ...context], outputs });
  } else {
    const primary = await pool.open(files.get(policy.primary.file)!, { name: policy.primary.file, priority: 'act' });
    heavy = primary;
    const layout = weightLayout(policy.primary);
    checkGraph(policy.primary, primary, { inputs: context, outputs: layout.parts.map(weightRule) });
    checkGraph(graph, namesOf(inline!.session), {
      inputs: [...base, { name: 'index', sizes: [] }, ...layout.parts.map(weightRule)],
      outputs,
    });
    weights = createWeightSource({ primary, layout, inputName: 'context', inputSize: contextSize, cache, keyPrefix });
  }
  const weightNames = weights?.layout.parts.map(({ name }) => name) ?? [];
  const small = inline && createSmallNetwork({ ...inline, weightNames });

  const smallRun = ({
    rowCount,
    observation,
    context: contexts,
    noise,
    weights: batch,
    index,
  }: PolicyInputs): SmallRun => ({
    rowCount,
    rows: { observation, context: contexts, noise },
    weights: batch && { entries: batch.entries, index, feeds: () => joinWeights(weights!.layout, batch) },
  });

  function runByRow(small: SmallNetwork, inputs: PolicyInputs): PolicyOutputs | Promise<PolicyOutputs> {
    const results = small.run(smallRun(inputs));
    return results instanceof Promise ? results.then(toOutputs) : toOutputs(results);
  }

  async function runHeavy(inputs: PolicyInputs): Promise<PolicyOutputs> {
    const { rowCount, observation, context: contexts, noise, deadlineMs = Number.POSITIVE_INFINITY } = inputs;
    const feeds: TensorMap = { observation: floatTensor(observation, [rowCount, observationSize]) };
    if (contextSize > 0) feeds.context = floatTensor(contexts!, [rowCount, contextSize]);
    if (stochastic) {
      feeds.noise = floatTensor(noise ?? new Float32Array(rowCount * actionSize), [rowCount, actionSize]);
    }
    const outputs = await heavy.run({ feeds, rowCount, deadline: { atMs: deadlineMs } });
    return toOutputs({
      action: outputs.action!.data as Float32Array,
      log_prob: outputs.log_prob?.data as Float32Array | undefined,
    });
  }
  const dispose = () => {
    inline?.session.dispose();
    heavy.dispose();
  };
  /** Never as few rows as run one by one: the same request has the same bits on every machine. */
  async function measureHeavy(network: SmallNetwork): Promise<number> {
    const zeros = (rowCount: number): PolicyInputs => ({
      rowCount,
      observation: new Float32Array(rowCount * observationSize),
      ...(contextSize > 0 && { context: new Float32Array(rowCount * contextSize) }),
    });
    let rowCountMin = 1;
    while (network.runsByRow(rowCountMin) && rowCountMin <= rowCountMax) rowCountMin *= 2;
    const found = await measureHeavyRows({
      inline: (rowCount) => network.runTogether(smallRun(zeros(rowCount))),
      pooled: (rowCount) => runHeavy(zeros(rowCount)),
      rowCountMin,
      rowCountMax,
    });
    onHeavyRows({ graph: graph.file, ...found });
    return found.rowCount;
  }
  if (small === undefined) return { stochastic, weights, run: runHeavy, dispose };

  const heavyRowCount = policy.kind === 'plain' ? await measureHeavy(small) : Number.POSITIVE_INFINITY;
  const batcher = createPolicyBatcher({
    runOnce: (inputs) => toOutputs(small.runTogether(smallRun(inputs))),
    actionSize,
    expectsMore,
  });
  return {
    stochastic,
    weights,
    run(inputs) {
      if (inputs.rowCount >= heavyRowCount) return runHeavy(inputs);
      return small.runsByRow(inputs.rowCount) ? runByRow(small, inputs) : batcher.run(inputs);
    },
    dispose,
  };
}

/** Of a plain policy's file: opening that much takes the event loop some milliseconds, and a row of a larger one some tenths of one. */
const inlineBytesMax = 4 * 1024 * 1024;

const toOutputs = (result: Readonly<Record<string, Float32Array | undefined>>): PolicyOutputs => ({
  action: result.action!,
  logProb: result.log_prob,
});

export const weightRule = ({ name, shape }: { name: string; shape: readonly number[] }): TensorRule => ({
  name,
  sizes: shape,
});
