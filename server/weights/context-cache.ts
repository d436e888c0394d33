/**
 * Generated weights by (version, context): "these keys, or generate them". A key is generated once at a time; who asks for it
 * meanwhile waits for the same generation.
 *
 * Failure rule: a generation that fails fails everyone who waits for it, and leaves nothing behind.
 */

import type { Demand } from '../call/rpc.ts';
import { type Deadline, deadlineFor } from '../compute/batcher.ts';
import type { GeneratedWeights, WeightBatch } from './generated-weights.ts';
import { KeptWeights, type KeptWeightsOptions, type LookupCounts } from './kept-weights.ts';

export type Request = {
  /**
   * Makes the weights of some of the keys, in one run.
   * @param places of these keys among those of the request
   * @param deadline of the run; requests that wait for it later put it off to their own
   */
  readonly generate: (places: readonly number[], deadline: Deadline) => Promise<readonly GeneratedWeights[]>;
  readonly demand: Demand;
  /** As KeptWeights.get. */
  readonly counts?: LookupCounts;
};

/** One key that is being generated. */
type Share = { readonly weights: Promise<GeneratedWeights>; readonly deadline: Deadline };

export class ContextCache {
  readonly kept: KeptWeights;
  readonly #shares = new Map<string, Share>();

  constructor(options: KeptWeightsOptions) {
    this.kept = new KeptWeights(options);
  }

  /** Keys that are being generated. */
  get inFlightCount(): number {
    return this.#shares.size;
  }

  /** The weights of these keys, in order: at once where all are kept, else when those that are not are generated. */
  getOrGenerate(keys: readonly string[], request: Request): WeightBatch | Promise<WeightBatch> {
    const entries = keys.map((key) => this.kept.get(key, request.counts));
    return isComplete(entries) ? { entries } : this.#complete(keys, entries, request);
  }

  /** Generates and keeps the weights of keys that nobody has asked for yet: neither hits nor misses. */
  async learn(keys: readonly string[], request: Request): Promise<void> {
    await this.#complete(
      keys,
      keys.map(() => undefined),
      request,
    );
  }

  async #complete(
    keys: readonly string[],
    known: readonly (GeneratedWeights | undefined)[],
    { generate, demand }: Request,
  ): Promise<WeightBatch> {
    const unknown = [...keys.keys()].filter((k) => known[k] === undefined);
    // Before any generation begins: a full queue drops what nobody waits for.
    for (const deadline of new Set(unknown.flatMap((k) => this.#shares.get(keys[k]!)?.deadline ?? []))) {
      deadline.atMs = Math.max(deadline.atMs, demand.deadlineMs);
      deadline.askers!.push(demand);
    }
    const own = unknown.filter((k) => !this.#shares.has(keys[k]!));
    if (own.length > 0) {
      const deadline = deadlineFor(demand);
      const made = generate(own, deadline);
      this.#announce(
        own.map((k) => keys[k]!),
        made,
        deadline,
      );
    }
    const shares = unknown.map((k) => this.#shares.get(keys[k]!)!);
    const entries = [...known] as GeneratedWeights[];
    const made = await Promise.all(shares.map(({ weights }) => weights));
    unknown.forEach((k, i) => {
      entries[k] = made[i]!;
    });
    const startedAtMs = Math.max(0, ...shares.map(({ deadline }) => deadline.startedAtMs ?? 0));
    return { entries, startedAtMs, missingCount: unknown.length };
  }

  #announce(keys: readonly string[], made: Promise<readonly GeneratedWeights[]>, deadline: Deadline): void {
    const kept = made
      .finally(() => {
        for (const key of keys) this.#shares.delete(key);
      })
      .then((weights) => {
        this.kept.insert(keys, weights);
        return weights;
      });
    keys.forEach((key, place) => {
      const weights = kept.then((all) => all[place]!);
      // Where nobody waits for it any more, a failure is no unhandled rejection.
      weights.catch(() => {});
      this.#shares.set(key, { weights, deadline });
    });
  }
}

const isComplete = (entries: readonly (GeneratedWeights | undefined)[]): entries is readonly GeneratedWeights[] =>
  entries.every((entry) => entry !== undefined);
