/**
 * The interface of every algorithm: a descriptor, which loads quickly, and the training that it opens, which holds networks and
 * environments. The runner and the command know algorithms only through these types.
 */

import type { z } from 'zod';
import type { Evaluation } from '../../src/package/manifest.ts';
import type { Engine } from '../engine/engine.ts';
import type { TrainedModel } from '../export/model.ts';
import type { RunConfig } from './config.ts';
import type { Environment } from './environment/environment.ts';
import type { HangError } from './environment/hang.ts';
import type { EvaluationResult } from './evaluation.ts';
import type { MetricRecord } from './metrics.ts';
import type { Progress } from './progress.ts';
import type { JsonValue, SavedState } from './saved-state.ts';

/** What the steps of a run are; `steps` are of the environment. */
export type StepUnit = 'steps' | 'iterations';

export type Algorithm = {
  /** As in `hyperpolicy train NAME`. */
  readonly name: string;
  /** One or two sentences for the help. */
  readonly description: string;
  /** Lines of the help, each a whole command. */
  readonly examples: readonly string[];
  /** Where it trains unless a setting names another. */
  readonly environmentDefault: string;
  /** Schemas of the two groups of settings. setting.ts makes flags of them. */
  readonly schemas: {
    readonly algorithm: z.ZodObject;
    /** Has at least `seed`. */
    readonly loop: z.ZodObject;
  };
  /** A value for every setting. Given settings may decide the defaults of others. */
  defaults(given: GivenSettings): { readonly algorithm: object; readonly loop: object };
  readonly stepUnit: StepUnit;
  /** Where a policy of these settings adapts: the columns of metrics.csv with the evaluations' returns before it does; `evaluationReturn` is after it. */
  beforeAdaptation?(settings: { readonly algorithm: object }): ReturnsBefore | undefined;
  /** Names of settings in `loop` that a resumed run may change, such as its length and its intervals. */
  readonly resumable: readonly string[];
  /** The part of a model's default name that tells runs on one environment apart, e.g. the critic. */
  variant(settings: { readonly algorithm: object }): string;
  /** What the choices among these complete settings have no use for. */
  unused?(settings: object): readonly Unused[];
  /** Lines for the person on complete settings that can be trained with, though nobody may want them. */
  warnings?(config: Pick<RunConfig, 'algorithm' | 'loop'>): readonly string[];
  /**
   * Refuses complete settings that do not fit each other or the environment. Makes no networks and steps nothing.
   * @throws HyperpolicyError invalid_argument: an environment that the algorithm cannot train in, or a network that cannot be
   */
  check(setup: SetupToCheck): Promise<void>;
  /** Makes networks, optimisers and environments of settings that `check` takes. */
  open(setup: Setup): Promise<Training>;
};

/** Settings as a person gives them: any of them may be missing. */
export type GivenSettings = {
  readonly environment: string;
  readonly algorithm: Readonly<Record<string, unknown>>;
  readonly loop: Readonly<Record<string, unknown>>;
};

/** Columns of metrics.csv. */
export type ReturnsBefore = { readonly metric: string; readonly deviation: string };

/** Settings that a choice has no use for. */
export type Unused = {
  /** The choice, e.g. `critic "mlp-small"`. */
  readonly by: string;
  /** Dotted names within the algorithm's group. */
  readonly names: readonly string[];
};

export type Setup = {
  /** Complete and valid. */
  readonly config: RunConfig;
  /** The caller disposes it after the training. */
  readonly environment: Environment;
  readonly engine: Engine;
};

export type SetupToCheck = Pick<Setup, 'config' | 'environment'>;

/** Networks, optimisers and environments of one run. */
export type Training = Publishable & {
  /** Length of the whole run, in the unit of its steps. */
  readonly stepCount: number;
  /**
   * Trains until the last step or the signal.
   * @throws RunFailure with the result so far, if anything else ended it
   */
  run(options: RunContext): Promise<RunResult>;
  /**
   * Evaluates the present networks on episodes that selected nothing: other starts than those of the run's evaluations.
   * @throws the signal's reason if it is aborted
   */
  evaluateAfresh?(signal: AbortSignal | undefined): Promise<EvaluationResult>;
  /**
   * Puts back the networks of the run's best evaluation.
   * @throws HyperpolicyError invalid_argument: they are missing or damaged
   */
  restoreBest(runDirectory: string, best: Evaluation): Promise<void>;
  /**
   * Has the networks of a saved learner while `use` runs, and the present ones after it. Not there where evaluations are always of
   * the present ones.
   */
  asOf?<T>(saved: SavedState, use: () => Promise<T>): Promise<T>;
  /** Frees native memory. */
  dispose(): Promise<void>;
};

/** The parts of the published model. */
export type Publishable = {
  /** Views of the present parameters. */
  model(): TrainedModel;
  /** The same networks as safetensors files: name -> bytes. */
  networkFiles(): Map<string, Uint8Array>;
};

/** Needed by every loop. */
export type RunContext = {
  readonly runDirectory: string;
  /** The run's settings, which its checkpoints keep: a run that goes on must have them. */
  readonly settings?: JsonValue | undefined;
  /** Aborting writes a checkpoint and ends the run. */
  readonly signal?: AbortSignal | undefined;
  /** Continues from the newest checkpoint of the run directory; the run equals one that was never stopped, bit for bit. */
  readonly resume?: boolean | undefined;
  readonly reporter?: Pick<Progress, 'report' | 'print'> | undefined;
  readonly log?: RunLog | undefined;
  readonly stepUnit: StepUnit;
  /** Told of the step that the run begins at, and of every metric record and every checkpoint once it is written. */
  readonly observer?: RunObserver | undefined;
  /** Called after each evaluation after the warm-up, with all so far and the learner that was evaluated. */
  readonly evaluated?: ((evaluations: readonly Evaluation[], learner: SavedState) => Promise<void>) | undefined;
  /** After an interrupt: waits for user code in progress, for a bounded time. @returns the hang, if it did not return */
  readonly settle?: (() => Promise<HangError | undefined>) | undefined;
  /** Longest time between two checkpoints, five minutes unless given: a kill loses no more than this. */
  readonly checkpointIntervalMs?: number | undefined;
  /** Steps after which a copy of the learner is kept; with several environments after the first step that is not before one. */
  readonly keptSteps?: readonly number[] | undefined;
  /** Milliseconds; only differences matter. */
  readonly now?: (() => number) | undefined;
};

type RunObserver = {
  /** @param step 0, or that of the checkpoint */
  begin(step: number): void;
  record(record: MetricRecord): void;
  checkpoint(): void;
};

/** The part of pino's logger that loops use. */
export type RunLog = { info(fields: object, message: string): void; warn(fields: object, message: string): void };

export type RunResult = {
  /** Steps done. */
  readonly step: number;
  /** The step that it began with: 0, or that of the checkpoint. */
  readonly firstStep: number;
  /** True if the signal ended the run before its last step or evaluation. */
  readonly aborted: boolean;
  readonly evaluations: readonly Evaluation[];
  /** The newest checkpoint's directory; undefined if a failure left none of the last step. */
  readonly checkpoint: string | undefined;
  /** The best evaluation after the warm-up, if there was one with a finite return. */
  readonly best: Evaluation | undefined;
  /** Results by name, as the command prints them, e.g. `evaluationReturn`. */
  readonly results: Readonly<Record<string, number>>;
};
