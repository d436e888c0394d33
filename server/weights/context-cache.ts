/**
 * Generated weights by (version, context): "these keys, or generate them". A key is generated once at a time; requests that ask for it
 * meanwhile wait for the same generation.
 *
 * Failure rule: a failed generation fails every request that waits for it, and leaves nothing behind.
 */

import type { Demand } from '../call/rpc.ts';
import { type Deadline, deadlineFor } from '../compute/batcher.ts';
import type { GeneratedWeights, WeightBatch } from './generated-weights.ts';
import { KeptWeights, type KeptWeightsOptions, type LookupCounts } from './kept-weights.ts';

export type Request = {
  /**
   * Generates the weights of some of the keys, in one run.
   * @param places indices of these keys in the request
   * @param deadline of the run; later requests for the same keys extend it
   */
  readonly generate: (places: readonly number[], deadline: Deadline) => Promise<readonly GeneratedWeights[]>;
  readonly demand: Demand;
};

/** Weights by key, as far as they are kept. */
export type Entries = readonly (GeneratedWeights | undefined)[];

/** The generation of one key. */
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

  /** The weights of these keys, in order; undefined where they are not kept. @param counts as KeptWeights.get */
  lookUp(keys: readonly string[], counts?: LookupCounts): Entries {
    return keys.map((key) => this.kept.get(key, counts));
  }

  /** The same with the missing ones generated: at once if there are none. @param entries as `lookUp` found them in this turn */
  complete(keys: readonly string[], entries: Entries, request: Request): WeightBatch | Promise<WeightBatch> {
    return isComplete(entries) ? { entries } : this.#complete(keys, entries, request);
  }

  /** Generates and keeps the weights of keys before they are requested; counts neither hits nor misses. */
  async prefetch(keys: readonly string[], request: Request): Promise<void> {
    await this.#complete(
      keys,
      keys.map(() => undefined),
      request,
    );
  }

  async #complete(keys: readonly string[], known: Entries, { generate, demand }: Request): Promise<WeightBatch> {
    const unknown = [...keys.keys()].filter((k) => known[k] === undefined);
    // Before any generation begins, since a full queue drops what nobody waits for.
    for (const deadline of new Set(unknown.flatMap((k) => this.#shares.get(keys[k]!)?.deadline ?? []))) {
      deadline.atMs = Math.max(deadline.atMs, demand.deadlineMs);
      deadline.waiters!.push(demand);
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
      // A failure that nobody waits for must not be an unhandled rejection.
      weights.catch(() => {});
      this.#shares.set(key, { weights, deadline });
    });
  }
}

const isComplete = (entries: Entries): entries is readonly GeneratedWeights[] =>
  entries.every((entry) => entry !== undefined);
