/** A policy that is loaded: observations, contexts and noise in, actions out. Knows nothing of requests. */

import type { RowResults } from '../../src/onnx/rows/row-network.ts';
import { floatTensor, type Session, type TensorMap } from '../../src/onnx/session.ts';
import { createSmallNetwork } from '../../src/onnx/small-network.ts';
import type { ListedFile } from '../../src/package/listed-file.ts';
import type { Manifest } from '../../src/package/manifest.ts';
import type { ComputePool } from '../compute/compute-pool.ts';
import { namesOf } from '../compute/executors.ts';
import type { ContextCache } from '../weights/context-cache.ts';
import { joinWeights, type WeightBatch, weightLayout } from '../weights/generated-weights.ts';
import { createWeightSource, type WeightSource } from '../weights/weight-source.ts';
import { checkGraph, sizesOf, type TensorRule } from './graph-contract.ts';

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
  /** On the clock of `Date.now()`; work that waits for a thread is dropped when it is late. Infinity unless given. */
  readonly deadlineMs?: number | undefined;
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
  /**
   * Runs the plain policy, or the dynamic network. Few rows run at once on the calling thread. Many rows of a plain policy run on a
   * thread of the pool; many rows of a dynamic network run here, in several turns of the event loop.
   */
  run(inputs: PolicyInputs): PolicyOutputs | Promise<PolicyOutputs>;
  dispose(): void;
};

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

type PlainEntry = Extract<NonNullable<Manifest['policy']>, { readonly kind: 'plain' }>;
type HyperEntry = Extract<NonNullable<Manifest['policy']>, { readonly kind: 'hyper' }>;

/** Opens the policy of a package; null where it has none. The caller disposes it. */
export async function openPolicy(options: OpenNetworkOptions): Promise<ServedPolicy | null> {
  const { policy } = options.manifest;
  if (policy === null) return null;
  return policy.kind === 'plain' ? openPlain(options, policy) : openHyper(options, policy);
}

/** Bytes of a plain policy's file up to which it is opened here too: that takes the event loop some milliseconds. */
const inlineBytesMax = 4 * 1024 * 1024;

/**
 * Multiplications from which a run of a plain policy goes to the pool, about 0.2 ms of the event loop: measured, networks of width 128
 * to 900 took 0.2 to 0.3 ms for 2^21.2 to 2^22.1. A smaller run is answered sooner here: the way to a thread and back takes 0.35 ms
 * (test/bench/NOTES.md).
 */
const pooledWorkMin = 2 ** 22;

async function openPlain(options: OpenNetworkOptions, { graph, stochastic }: PlainEntry): Promise<ServedPolicy> {
  const { manifest, files, pool, openInline } = options;
  const file = files.get(graph.file)!;
  const inline = file.bytes > inlineBytesMax ? undefined : await openInline(graph.file);
  const pooled = await pool.open(file, { name: graph.file, priority: 'act' });
  const { base, context, outputs } = rulesOf(manifest, stochastic);
  checkGraph(graph, pooled, { inputs: [...base, ...context], outputs });
  const small = inline && createSmallNetwork(inline);
  const hereRowCountMax = small === undefined ? 0 : Math.ceil(pooledWorkMin / Math.max(1, small.workPerRow)) - 1;

  async function runPooled(inputs: PolicyInputs): Promise<PolicyOutputs> {
    const { rowCount, deadlineMs = Number.POSITIVE_INFINITY } = inputs;
    const feeds = plainFeeds(inputs, manifest, stochastic);
    const result = await pooled.run({ feeds, rowCount, deadline: { atMs: deadlineMs } });
    return {
      action: result.action!.data as Float32Array,
      logProb: result.log_prob?.data as Float32Array | undefined,
    };
  }

  return {
    stochastic,
    weights: undefined,
    run(inputs) {
      if (small === undefined || inputs.rowCount > hereRowCountMax) return runPooled(inputs);
      const { rowCount, observation, context: contexts, noise } = inputs;
      return toOutputs(small.run({ rowCount, rows: { observation, context: contexts, noise } }));
    },
    dispose() {
      inline?.session.dispose();
      pooled.dispose();
    },
  };
}

function plainFeeds(
  { rowCount, observation, context, noise }: PolicyInputs,
  manifest: Manifest,
  stochastic: boolean,
): TensorMap {
  const { observationSize, actionSize, contextSize } = sizesOf(manifest);
  const zeros = () => new Float32Array(rowCount * actionSize);
  return {
    observation: floatTensor(observation, [rowCount, observationSize]),
    ...(contextSize > 0 && { context: floatTensor(context!, [rowCount, contextSize]) }),
    ...(stochastic && { noise: floatTensor(noise ?? zeros(), [rowCount, actionSize]) }),
  };
}

async function openHyper(options: OpenNetworkOptions, policy: HyperEntry): Promise<ServedPolicy> {
  const { manifest, files, pool, openInline, cache, keyPrefix } = options;
  const { stochastic } = policy;
  const inline = await openInline(policy.dynamic.file);
  const primary = await pool.open(files.get(policy.primary.file)!, { name: policy.primary.file, priority: 'act' });
  const layout = weightLayout(policy.primary);
  const { base, outputs } = rulesOf(manifest, stochastic);
  const { contextSize } = sizesOf(manifest);
  checkGraph(policy.primary, primary, {
    inputs: [{ name: 'context', sizes: [contextSize] }],
    outputs: layout.parts.map(weightRule),
  });
  checkGraph(policy.dynamic, namesOf(inline.session), {
    inputs: [...base, { name: 'index', sizes: [] }, ...layout.parts.map(weightRule)],
    outputs,
  });
  const small = createSmallNetwork({ ...inline, weightNames: layout.parts.map(({ name }) => name) });
  return {
    stochastic,
    weights: createWeightSource({ primary, layout, inputName: 'context', inputSize: contextSize, cache, keyPrefix }),
    run({ rowCount, observation, noise, weights, index }) {
      const generated = { entries: weights!.entries, index, feeds: () => joinWeights(layout, weights!) };
      return toOutputs(small.run({ rowCount, rows: { observation, noise }, weights: generated }));
    },
    dispose() {
      inline.session.dispose();
      primary.dispose();
    },
  };
}

function rulesOf(manifest: Manifest, stochastic: boolean): Record<'base' | 'context' | 'outputs', TensorRule[]> {
  const { observationSize, actionSize, contextSize } = sizesOf(manifest);
  const observation = { name: 'observation', sizes: [observationSize] };
  const action = { name: 'action', sizes: [actionSize] };
  return {
    base: [observation, ...(stochastic ? [{ name: 'noise', sizes: [actionSize] }] : [])],
    context: contextSize > 0 ? [{ name: 'context', sizes: [contextSize] }] : [],
    outputs: [action, ...(stochastic ? [{ name: 'log_prob', sizes: [], optional: true }] : [])],
  };
}

function toOutputs(results: RowResults | Promise<RowResults>): PolicyOutputs | Promise<PolicyOutputs> {
  if (results instanceof Promise) return results.then(asOutputs);
  return asOutputs(results);
}

const asOutputs = ({ action, log_prob }: RowResults): PolicyOutputs => ({ action: action!, logProb: log_prob });

export const weightRule = ({ name, shape }: { name: string; shape: readonly number[] }): TensorRule => ({
  name,
  sizes: shape,
});
