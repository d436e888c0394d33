/** A policy that is loaded: observations, contexts and noise in, bounded actions out. Knows nothing of requests. */

import type { Session } from '../src/onnx/session.ts';
import { createSmallNetwork } from '../src/onnx/small-network.ts';
import type { Manifest } from '../src/spec/manifest.ts';
import type { ComputePool } from './compute-pool.ts';
import type { ContextCache } from './context-cache.ts';
import { namesOf } from './executors.ts';
import { joinWeights, type WeightBatch, weightLayout } from './generated-weights.ts';
import { checkGraph, sizesOf, type TensorRule } from './graph-contract.ts';
import { createPolicyBatcher } from './policy-batcher.ts';
import { createWeightSource, type WeightSource } from './weight-source.ts';

export type PolicyInputs = {
  readonly rowCount: number;
  readonly observation: Float32Array; // [B, O]
  /** Plain policies with a context. */
  readonly context?: Float32Array | undefined; // [B, C]
  /** Standard normal; absent is the deterministic action. */
  readonly noise?: Float32Array | undefined; // [B, A]
  /** Hyper policies: weights of K contexts, and row -> context (undefined: all rows have the first). */
  readonly weights?: WeightBatch | undefined;
  readonly index?: Int32Array | undefined; // [B]
};

export type PolicyOutputs = {
  /** As the graph gives it: not yet clipped, not yet checked. */
  readonly action: Float32Array; // [B, A]
  readonly logProb: Float32Array | undefined; // [B]
};

export type ServedPolicy = {
  readonly stochastic: boolean;
  /** Generates weights from contexts; undefined for plain policies. */
  readonly weights: WeightSource | undefined;
  /** The plain policy, or the dynamic network; on the calling thread, together with other requests of this turn if there are. */
  run(inputs: PolicyInputs): PolicyOutputs | Promise<PolicyOutputs>;
  dispose(): void;
};

export type OpenNetworkOptions = {
  readonly manifest: Manifest;
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Heavy graphs. */
  readonly pool: ComputePool;
  /** Opens a graph that runs where the request is. */
  readonly openInline: (file: string) => Session;
  /** Whether another request may come in this turn of the event loop. */
  readonly expectsMore: () => boolean;
  readonly cache: ContextCache;
  /** Of this version alone. */
  readonly keyPrefix: string;
};

/** Opens the policy of a package; null where it has none. The caller disposes it. */
export async function openPolicy(options: OpenNetworkOptions): Promise<ServedPolicy | null> {
  const { manifest, files, pool, openInline, expectsMore, cache, keyPrefix } = options;
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
  const network = openInline(graph.file);
  let weights: WeightSource | undefined;
  let disposePrimary = () => {};
  if (policy.kind === 'plain') {
    checkGraph(graph, namesOf(network), { inputs: [...base, ...context], outputs });
  } else {
    const primary = await pool.open(files.get(policy.primary.file)!, { name: policy.primary.file, priority: 'act' });
    disposePrimary = () => primary.dispose();
    const layout = weightLayout(policy.primary);
    checkGraph(policy.primary, primary, { inputs: context, outputs: layout.parts.map(weightRule) });
    checkGraph(graph, namesOf(network), {
      inputs: [...base, { name: 'index', sizes: [] }, ...layout.parts.map(weightRule)],
      outputs,
    });
    weights = createWeightSource({ primary, layout, inputName: 'context', inputSize: contextSize, cache, keyPrefix });
  }
  const small = createSmallNetwork({
    model: files.get(graph.file)!,
    session: network,
    weightNames: weights?.layout.parts.map(({ name }) => name) ?? [],
  });

  function runOnce({
    rowCount,
    observation,
    context: contexts,
    noise,
    weights: batch,
    index,
  }: PolicyInputs): PolicyOutputs {
    const generated = batch && { entries: batch.entries, index, feeds: () => joinWeights(weights!.layout, batch) };
    const result = small.run(rowCount, { observation, context: contexts, noise }, generated);
    return { action: result.action!, logProb: result.log_prob };
  }
  const batcher = createPolicyBatcher({ runOnce, actionSize, expectsMore });

  return {
    stochastic,
    weights,
    run: (inputs) => (small.runsByRow(inputs.rowCount) ? runOnce(inputs) : batcher.run(inputs)),
    dispose() {
      network.dispose();
      disposePrimary();
    },
  };
}

export const weightRule = ({ name, shape }: { name: string; shape: readonly number[] }): TensorRule => ({
  name,
  sizes: shape,
});
