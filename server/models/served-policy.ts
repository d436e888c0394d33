/** A policy that is loaded: observations, contexts and noise in, actions out. Knows nothing of requests. */

import type { RowResults } from '../../src/onnx/rows/row-network.ts';
import { createSmallNetwork } from '../../src/onnx/small-network.ts';
import type { Manifest } from '../../src/package/manifest.ts';
import type { WeightBatch } from '../weights/generated-weights.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { type OpenNetworkOptions, openGeneratedNetwork } from './generated-network.ts';
import { checkGraph, feedsOf, rowRules, sizesOf, type TensorRule } from './graph-contract.ts';

export type PolicyInputs = {
  readonly rowCount: number;
  readonly observation: Float32Array; // [B, O]
  /** Plain policies with a context. */
  readonly context?: Float32Array | undefined; // [B, C]
  /** Standard normal; absent is the deterministic action. */
  readonly noise?: Float32Array | undefined; // [B, A]
  /** Hyper policies: the weights for each row. */
  readonly weights?: WeightBatch | undefined;
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
  const { actionSize } = sizesOf(manifest);
  const file = files.get(graph.file)!;
  const inline = file.bytes > inlineBytesMax ? undefined : await openInline(graph.file);
  const pooled = await pool.open(file, { name: graph.file, priority: 'act' });
  const { inputs, outputs } = rulesOf(manifest, stochastic);
  const allInputs = [...inputs, ...rowRules(manifest).context];
  checkGraph(graph, pooled, { inputs: allInputs, outputs });
  const small = inline && createSmallNetwork(inline);
  const hereRowCountMax = small === undefined ? 0 : Math.ceil(pooledWorkMin / Math.max(1, small.workPerRow)) - 1;

  async function runPooled({ rowCount, deadlineMs, ...rows }: PolicyInputs): Promise<PolicyOutputs> {
    const { observation, context, noise = new Float32Array(rowCount * actionSize) } = rows;
    const feeds = feedsOf(allInputs, rowCount, { observation, context, noise });
    const deadline = { atMs: deadlineMs ?? Number.POSITIVE_INFINITY };
    const { action, log_prob } = await pooled.run({ feeds, rowCount, deadline });
    return { action: action!.data as Float32Array, logProb: log_prob?.data as Float32Array | undefined };
  }

  return {
    stochastic,
    weights: undefined,
    run(given) {
      const { rowCount, observation, context, noise } = given;
      if (small === undefined || rowCount > hereRowCountMax) return runPooled(given);
      return toOutputs(small.run({ rowCount, rows: { observation, context, noise } }));
    },
    dispose() {
      inline?.session.dispose();
      pooled.dispose();
    },
  };
}

async function openHyper(options: OpenNetworkOptions, policy: HyperEntry): Promise<ServedPolicy> {
  const { manifest } = options;
  const { stochastic } = policy;
  const from = { name: 'context', size: sizesOf(manifest).contextSize };
  const rule = { ...rulesOf(manifest, stochastic), priority: 'act', from } as const;
  const network = await openGeneratedNetwork(options, policy, rule);
  return {
    stochastic,
    weights: network.weights,
    run: ({ rowCount, observation, noise, weights }) =>
      toOutputs(network.run(rowCount, { observation, noise }, weights!)),
    dispose: network.dispose,
  };
}

/** Without the context, which plain policies take and hyper policies do not. */
function rulesOf(manifest: Manifest, stochastic: boolean): Record<'inputs' | 'outputs', TensorRule[]> {
  const { observation, noise, action } = rowRules(manifest);
  const logProb = { name: 'log_prob', sizes: [], optional: true };
  return {
    inputs: stochastic ? [observation, noise] : [observation],
    outputs: stochastic ? [action, logProb] : [action],
  };
}

function toOutputs(results: RowResults | Promise<RowResults>): PolicyOutputs | Promise<PolicyOutputs> {
  if (results instanceof Promise) return results.then(asOutputs);
  return asOutputs(results);
}

const asOutputs = ({ action, log_prob }: RowResults): PolicyOutputs => ({ action: action!, logProb: log_prob });
