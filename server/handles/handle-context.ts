/** The content of a context handle: an adapted state, bound to the version and the caller that it was made for. */

import type { LatentKnowledge } from '../../src/posterior/latent-knowledge.ts';

/** The version and the caller that may use a handle. */
export type Binding = {
  readonly model: string;
  readonly version: number;
  /** Distinguishes two packages with the same version number. */
  readonly publishedAtMs: number;
  /** Name of the caller's token; empty without tokens. */
  readonly caller: string;
};

/** The posterior of a latent context after some transitions, and the context that was drawn from it. */
export type PosteriorState = LatentKnowledge & {
  readonly kind: 'posterior';
  readonly context: Float32Array; // [C]
};

/** Generated weights after some inner steps. */
export type WeightsState = {
  readonly kind: 'weights';
  readonly stepCount: number;
  /** From which the weights were generated. */
  readonly context: Float32Array; // [C]
  /** In the layout of the policy's generated weights. */
  readonly block: Float32Array;
};

export type HandleContext = { readonly binding: Binding; readonly state: PosteriorState | WeightsState };
