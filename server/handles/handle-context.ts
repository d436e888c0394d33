/** What a context handle stands for: an adapted state, bound to the version and the caller that it was made for. */

import type { LatentKnowledge } from '../../src/posterior/latent-knowledge.ts';

/** Whose a context is, and what it fits. */
export type Binding = {
  readonly model: string;
  readonly version: number;
  /** Tells two packages of one version number apart. */
  readonly publishedAtMs: number;
  /** Name of the caller's token; empty where callers are not told apart. */
  readonly caller: string;
};

/** What transitions say of a latent context, and the context that was made of it. */
export type PosteriorState = LatentKnowledge & {
  readonly kind: 'posterior';
  readonly context: Float32Array; // [C]
};

/** Generated weights after some inner steps. */
export type WeightsState = {
  readonly kind: 'weights';
  readonly stepCount: number;
  /** That the weights were generated from. */
  readonly context: Float32Array; // [C]
  /** In the layout of the policy's generated weights. */
  readonly block: Float32Array;
};

export type HandleContext = { readonly binding: Binding; readonly state: PosteriorState | WeightsState };
