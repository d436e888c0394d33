/** The model that a learner gives for publishing. */

import type { ContextSpec, PolicySpecs } from '../../src/contract/tensor-spec.ts';
import type { ManifestDraft } from '../../src/package/package.ts';
import type { Engine } from '../engine/engine.ts';
import type { EncoderExport, StepExport } from './adaptation.ts';
import type { CriticExport } from './critic.ts';
import type { PolicyExport } from './policy.ts';
import type { AdaptationExport } from './task-policy.ts';

/** The trained networks with their parameters. */
export type TrainedModel = {
  /** Training reward = scale x environment reward. */
  readonly rewardScale: number;
  /** At least one of the two. */
  readonly policy: PolicyExport | null;
  readonly critic: CriticExport | null;
  /** Encoder of a latent context. */
  readonly encoder?: EncoderExport | undefined;
  /** An inner step on the policy's generated weights. */
  readonly step?: StepExport | undefined;
  /** In place of a step: an adaptation of all of the policy's parameters. */
  readonly adaptation?: AdaptationExport | undefined;
  /** Of a policy that adapts: as in the manifest's `training`. */
  readonly adaptationEpisodeCount?: number | undefined;
  /** Of training tasks that were not the environment's own: as in the manifest's `training`. */
  readonly taskRange?: ManifestDraft['training']['taskRange'];
  /** In place of the environment's, e.g. a latent one. */
  readonly context?: ContextSpec | undefined;
  /** The policy reads no context though the environment has one: the model is published without. */
  readonly isWithoutContext?: boolean | undefined;
};

export type ModelToExport = TrainedModel & {
  /** Named in errors. */
  readonly model: string;
  readonly algorithm: string;
  readonly environment: string;
  readonly specs: PolicySpecs;
  readonly training: ManifestDraft['training'];
  /** Computes the probes' outputs from the live parameters, apart from the exported files. */
  readonly engine: Engine;
};

export type ModelToPublish = ModelToExport & { readonly store: string };
