/** A loaded encoder of transitions. Knows nothing of requests and handles. */

import { sizeOf } from '../../src/contract/counts.ts';
import { specSizes } from '../../src/contract/tensor-spec.ts';
import { feedsOf } from '../../src/onnx/feeds.ts';
import { checkGraph, rowRules, type TensorRule } from '../../src/package/graph-contract.ts';
import type { Manifest } from '../../src/package/manifest.ts';
import {
  encoderOutputs,
  type Gaussian,
  gaussianOf,
  type LatentKnowledge,
  noKnowledge,
  withTransitions,
} from '../../src/posterior/latent-knowledge.ts';
import { checkResult } from '../call/finite.ts';
import type { Demand } from '../call/rpc.ts';
import { deadlineFor } from '../compute/batcher.ts';
import type { HeavyGraph } from '../compute/compute-pool.ts';
import type { OpenNetworkOptions } from './served-network.ts';

/** N steps of one task. */
export type Steps = {
  readonly rowCount: number;
  readonly observation: Float32Array; // [N, O]
  readonly action: Float32Array; // [N, A], environment units
};

/** Steps with rewards, as an encoder reads them. */
export type Transitions = Steps & {
  readonly reward: Float32Array; // [N]
  /** Only if the encoder reads it. */
  readonly nextObservation?: Float32Array | undefined; // [N, O]
};

type Rows = Readonly<Record<string, Float32Array | undefined>>;

export type ServedEncoder = {
  readonly kind: 'posterior';
  readonly readsNextObservation: boolean;
  /** Whether the order of transitions matters. */
  readonly isOrdered: boolean;
  /** The knowledge before any transition. */
  readonly nothing: LatentKnowledge;
  /**
   * The knowledge after more transitions; the given one is not changed.
   * @param demand late or gone work is dropped
   * @throws Error as badResult
   */
  learn(known: LatentKnowledge, transitions: Transitions, demand: Demand): Promise<LatentKnowledge>;
  posteriorOf(known: LatentKnowledge): Gaussian;
  /** One run of the graph: rows and outputs by their names. @throws Error as badResult */
  encode(rows: Rows, rowCount: number, demand: Demand): Promise<Record<string, Float32Array>>;
};

/** Outputs that must be above 0. */
const positive: readonly string[] = ['precision', 'variance'];

/** The caller disposes it. */
export async function openEncoder(
  { manifest, files, pool }: OpenNetworkOptions,
  encoder: NonNullable<Manifest['encoder']>,
): Promise<ServedEncoder & { dispose(): void }> {
  const { aggregation = 'product', prior, file } = encoder;
  const size = specSizes(manifest).contextSize;
  const { observation, action, reward, nextObservation } = rowRules(manifest);
  const memorySize = encoder.inputs.find(({ name }) => name === 'memory')?.shape.at(-1) as number | undefined;
  const readsNextObservation = encoder.inputs.some(({ name }) => name === nextObservation.name);
  const memory = aggregation === 'recurrent' ? [{ name: 'memory', sizes: [memorySize ?? 0] }] : [];
  const inputs = [observation, action, reward, ...(readsNextObservation ? [nextObservation] : []), ...memory];
  const names = encoderOutputs[aggregation];
  const graph = await pool.open(files.get(file)!, { name: file, priority: 'adapt' });
  checkGraph(encoder, graph, {
    inputs,
    outputs: names.map((name) => ({ name, sizes: name === 'next_memory' ? [memorySize ?? 0] : [size] })),
  });

  const encode = encodeWith(graph, { file, inputs, names });
  async function take(known: LatentKnowledge, rows: Rows, rowCount: number, demand: Demand) {
    const before = memorySize === undefined ? {} : { memory: Float32Array.from(known.values.subarray(2 * size)) };
    const outputs = await encode({ ...rows, ...before }, rowCount, demand);
    return withTransitions(
      aggregation,
      known,
      names.map((name) => outputs[name]!),
      rowCount,
    );
  }

  return {
    kind: 'posterior',
    readsNextObservation,
    isOrdered: aggregation === 'recurrent',
    nothing: noKnowledge(2 * size + (memorySize ?? 0)),
    async learn(known, { rowCount, nextObservation: next, ...steps }, demand) {
      const rows: Rows = { ...steps, ...(readsNextObservation && { next_observation: next }) };
      if (aggregation !== 'recurrent') return take(known, rows, rowCount, demand);
      let newest = known;
      for (let n = 0; n < rowCount; n++) newest = await take(newest, rowOf(rows, inputs, n), 1, demand);
      return newest;
    },
    posteriorOf: (known) => gaussianOf(aggregation, known, { size, prior }),
    encode,
    dispose: () => graph.dispose(),
  };
}

type EncoderGraph = {
  readonly file: string;
  readonly inputs: readonly TensorRule[];
  /** Names of its outputs. */
  readonly names: readonly string[];
};

const encodeWith =
  (graph: HeavyGraph, { file, inputs, names }: EncoderGraph): ServedEncoder['encode'] =>
  async (rows, rowCount, demand) => {
    const feeds = feedsOf(inputs, rowCount, rows);
    const outputs = await graph.run({ feeds, rowCount, deadline: deadlineFor(demand) });
    const sent = { method: 'Adapt', values: Object.values(rows) };
    const checked = names.map((name) => {
      const values = outputs[name]!.data as Float32Array;
      const isValid = positive.includes(name) ? (value: number) => value > 0 && Number.isFinite(value) : undefined;
      checkResult(`${file} ${name}`, values, sent, isValid);
      return [name, values] as const;
    });
    return Object.fromEntries(checked);
  };

/** Row n of each input. */
const rowOf = (rows: Rows, inputs: readonly TensorRule[], n: number): Rows =>
  Object.fromEntries(
    inputs.map(({ name, sizes }) => {
      const width = sizeOf(sizes);
      return [name, rows[name]?.slice(n * width, (n + 1) * width)];
    }),
  );
