/** The loaded adaptation of a model: an encoder, or an inner step on generated weights. Knows nothing of requests and handles. */

import type { AdvantageConfig } from '../../src/advantages/policy-gradient.ts';
import { feedsOf } from '../../src/onnx/feeds.ts';
import type { TensorMap } from '../../src/onnx/session.ts';
import { checkGraph, rowRules } from '../../src/package/graph-contract.ts';
import type { Manifest, Probe } from '../../src/package/manifest.ts';
import { checkResult } from '../call/finite.ts';
import { type Demand, standing } from '../call/rpc.ts';
import { deadlineFor } from '../compute/batcher.ts';
import { collectWeights, type GeneratedWeights, joinWeights } from '../weights/generated-weights.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { openEncoder, type ServedEncoder, type Steps } from './served-encoder.ts';
import type { OpenNetworkOptions, ServedPolicy } from './served-network.ts';

export type ServedStep = {
  readonly kind: 'weights';
  /** Source of the weights that are adapted. */
  readonly source: WeightSource;
  readonly advantages: AdvantageConfig;
  /** A step starts at the given weights, or at the model's own parameters for the given context. */
  readonly from: 'weights' | 'parameters';
  /**
   * The weights after one step; the given ones are not changed.
   * @param demand late or gone work is dropped
   * @throws Error as badResult
   */
  step(
    start: { readonly weights: GeneratedWeights; readonly context: Float32Array }, // [C]
    steps: Steps & { readonly coefficient: Float32Array }, // [N]
    demand: Demand,
  ): Promise<GeneratedWeights>;
};

export type ServedAdaptation = (ServedEncoder | ServedStep) & { dispose(): void };

/** Opens the encoder or the inner step of a package; null if it has none. The caller disposes it. */
export async function openAdaptation(
  options: OpenNetworkOptions,
  policy: ServedPolicy | null,
): Promise<ServedAdaptation | null> {
  const { encoder, adapt } = options.manifest;
  if (encoder !== null) return openEncoder(options, encoder);
  if (adapt !== null) return openStep(options, adapt, policy!.weights!);
  return null;
}

const adapted = (name: string): string => `adapted_${name}`;

async function openStep(
  { manifest, files, pool }: OpenNetworkOptions,
  adapt: NonNullable<Manifest['adapt']>,
  source: WeightSource,
): Promise<ServedAdaptation> {
  const { observation, action, coefficient, contexts } = rowRules(manifest);
  const { layout } = source;
  const { from = 'weights', discount, lambda, weighting } = adapt;
  const inputs = [observation, action, coefficient];
  const starts = from === 'weights' ? layout.parts.map(({ name, shape }) => ({ name, sizes: shape })) : contexts;
  // A run adapts the weights of one request.
  const graph = await pool.open(files.get(adapt.file)!, { name: adapt.file, priority: 'adapt', joins: false });
  checkGraph(adapt, graph, {
    inputs: [...inputs, ...starts],
    outputs: layout.parts.map(({ name, shape }) => ({ name: adapted(name), sizes: shape })),
  });
  return {
    kind: 'weights',
    source,
    advantages: { discount, lambda, weighting },
    from,
    async step({ weights, context: startContext }, { rowCount, ...rows }, demand) {
      const startFeeds =
        from === 'weights'
          ? joinWeights(layout, { entries: [weights] })
          : feedsOf(contexts, 1, { context: startContext });
      const feeds = {
        ...startFeeds,
        ...feedsOf(inputs, rowCount, rows),
      };
      const collected = collectWeights(layout, 1);
      const take = (outputs: TensorMap) => {
        const named = Object.fromEntries(layout.parts.map(({ name }) => [name, outputs[adapted(name)]!]));
        collected.take(named, { from: 0, count: 1 });
      };
      await graph.runInto({ feeds, rowCount, deadline: deadlineFor(demand) }, { take });
      const [moved] = collected.entries;
      const sent = { method: 'Adapt', values: [weights.block, startContext, ...Object.values(rows)] };
      checkResult(`${adapt.file} weights`, moved!.block, sent);
      return moved!;
    },
    dispose: () => graph.dispose(),
  };
}

/** Runs a probe's inputs. @returns outputs by their names in the graph */
export async function runAdaptationProbe(
  adaptation: ServedAdaptation,
  { inputs }: Probe,
): Promise<Record<string, Float32Array>> {
  const input = (name: string) => Float32Array.from(inputs[name]?.values ?? []);
  const rowCount = inputs.observation?.shape[0] ?? 0;
  if (adaptation.kind === 'posterior') {
    const rows = Object.fromEntries(Object.keys(inputs).map((name) => [name, input(name)]));
    return adaptation.encode(rows, rowCount, standing);
  }
  const steps = { rowCount, observation: input('observation'), action: input('action') };
  const { source } = adaptation;
  const context = input('context');
  const { entries } = await source.generate({ values: context, rowCount: 1 });
  const start = { weights: entries[0]!, context };
  const { block } = await adaptation.step(start, { ...steps, coefficient: input('coefficient') }, standing);
  return Object.fromEntries(
    source.layout.parts.map(({ name, offset, size }) => [adapted(name), block.subarray(offset, offset + size)]),
  );
}
