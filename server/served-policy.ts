/** A policy that is loaded: observations, contexts and noise in, bounded actions out. Knows nothing of requests. */

import { floatTensor, type Tensor, type TensorMap } from '../src/onnx/session.ts';
import type { Manifest } from '../src/spec/manifest.ts';
import type { ComputePool } from './compute-pool.ts';
import type { ContextCache } from './context-cache.ts';
import { weightLayout } from './generated-weights.ts';
import { checkGraph, sizesOf, type TensorRule } from './graph-contract.ts';
import { rowIndexTensor } from './row-index.ts';
import { createWeightSource, type WeightSource } from './weight-source.ts';

export type PolicyInputs = {
  readonly rowCount: number;
  readonly observation: Float32Array; // [B, O]
  /** Plain policies with a context. */
  readonly context?: Float32Array | undefined; // [B, C]
  /** Standard normal; absent is the deterministic action. */
  readonly noise?: Float32Array | undefined; // [B, A]
  /** Hyper policies: feeds of K contexts, and row -> context (undefined: all rows have the first). */
  readonly weights?: TensorMap | undefined;
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
  /** The plain policy, or the dynamic network; on the calling thread. */
  run(inputs: PolicyInputs): PolicyOutputs;
  dispose(): void;
};

export type OpenNetworkOptions = {
  readonly manifest: Manifest;
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Heavy graphs. */
  readonly pool: ComputePool;
  /** Graphs that run where the request is. */
  readonly inlinePool: ComputePool;
  readonly cache: ContextCache;
  /** Of this version alone. */
  readonly keyPrefix: string;
};

/** Opens the policy of a package; null where it has none. The caller disposes it. */
export function openPolicy(options: OpenNetworkOptions): ServedPolicy | null {
  const { manifest, files, pool, inlinePool, cache, keyPrefix } = options;
  const { policy } = manifest;
  if (policy === null) return null;
  const { observationSize, actionSize, contextSize } = sizesOf(manifest);
  const context: TensorRule[] = contextSize > 0 ? [{ name: 'context', sizes: [contextSize] }] : [];
  const base: TensorRule[] = [{ name: 'observation', sizes: [observationSize] }];
  if (policy.stochastic) base.push({ name: 'noise', sizes: [actionSize] });
  const outputs: TensorRule[] = [{ name: 'action', sizes: [actionSize] }];
  if (policy.stochastic) outputs.push({ name: 'log_prob', sizes: [], optional: true });

  const graph = policy.kind === 'plain' ? policy.graph : policy.dynamic;
  const network = inlinePool.open(files.get(graph.file)!, graph.file);
  let weights: WeightSource | undefined;
  let disposePrimary = () => {};
  if (policy.kind === 'plain') {
    checkGraph(graph, network, { inputs: [...base, ...context], outputs });
  } else {
    const primary = pool.open(files.get(policy.primary.file)!, policy.primary.file);
    disposePrimary = () => primary.dispose();
    const layout = weightLayout(policy.primary);
    checkGraph(policy.primary, primary, { inputs: context, outputs: layout.parts.map(weightRule) });
    checkGraph(graph, network, {
      inputs: [...base, { name: 'index', sizes: [] }, ...layout.parts.map(weightRule)],
      outputs,
    });
    weights = createWeightSource({ primary, layout, inputName: 'context', inputSize: contextSize, cache, keyPrefix });
  }
  const takesIndex = policy.kind === 'hyper';

  return {
    stochastic: policy.stochastic,
    weights,
    run(inputs) {
      const { rowCount } = inputs;
      const feeds: TensorMap = {
        ...inputs.weights,
        observation: floatTensor(inputs.observation, [rowCount, observationSize]),
      };
      if (inputs.context !== undefined) feeds.context = floatTensor(inputs.context, [rowCount, contextSize]);
      if (policy.stochastic) {
        feeds.noise = floatTensor(inputs.noise ?? new Float32Array(rowCount * actionSize), [rowCount, actionSize]);
      }
      if (takesIndex) feeds.index = rowIndexTensor(inputs.index, rowCount);
      const result = network.run(feeds) as TensorMap;
      return { action: floats(result.action!), logProb: result.log_prob && floats(result.log_prob) };
    },
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

const floats = (tensor: Tensor): Float32Array => tensor.data as Float32Array;
