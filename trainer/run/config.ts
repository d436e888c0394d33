/** The config of a run: everything but the machine that decides its results. Here are the settings that every algorithm has. */

import { z } from 'zod';
import { type DeviceName, deviceNames } from '../../src/onnx/providers.ts';
import { type EngineName, engineNames } from '../engine/names.ts';
import { integer, oneOf, positive, setting, steps, text } from './setting.ts';

export const publishChoices = ['best', 'last', 'every', 'none'] as const;

export type PublishOptions = {
  readonly store: string;
  readonly model: string;
  /**
   * Which networks are published: those of the best evaluation after the warm-up, those of the last step, those of every evaluation after
   * the warm-up during the run, or none.
   */
  readonly which: (typeof publishChoices)[number];
};

/** Complete. Kept as `config.json` in the run directory. */
export type RunConfig = {
  /** A name in the registry of environments, or a file. */
  readonly environment: string;
  /** The algorithm's name and settings. */
  readonly algorithm: { readonly name: string };
  /** The settings of the loop that trains it. */
  readonly loop: { readonly seed: number };
  /** Threads inside one operator. Results are bit-equal only for equal thread counts. */
  readonly threadCount: number;
  /** The engine of the updates; `traced` if absent. */
  readonly engine?: EngineName | undefined;
  /** The device of the traced engine; `cpu` if absent. */
  readonly device?: DeviceName | undefined;
  /** Longest time between two checkpoints; `checkpointMinutesDefault` if absent. */
  readonly checkpointMinutes?: number | undefined;
  /** Steps after which a copy of the learner is kept. */
  readonly keptSteps?: readonly number[] | undefined;
  /** The folder that the run was begun in: relative paths of its environment file and its store are of that. */
  readonly workingDirectory?: string | undefined;
  /** What to publish at the end; nothing if absent. */
  readonly publish?: PublishOptions | undefined;
};

/** A config in which any setting may be missing. */
export type GivenConfig = Readonly<Record<string, unknown>>;

/** Settings of every algorithm that a resumed run may change. Other threads, engines or devices give other rounding. */
export const resumableSettings: readonly string[] = [
  'threadCount',
  'engine',
  'device',
  'checkpointMinutes',
  'keptSteps',
];

/** Steps in which nothing is learnt; 0 of algorithms that count iterations. */
export const warmUpOf = (loop: object): number =>
  Number((loop as { readonly warmUpStepCount?: unknown }).warmUpStepCount ?? 0);

/** Between two checkpoints: at most a day. */
export const checkpointMinutesDefault = 5;
const checkpointMinutesMax = 1440;

/** Threads of one update. */
export const threadCountMax = 256;

/** The settings that every algorithm has, beside the groups `algorithm` and `loop`. */
export const commonSchema = z.strictObject({
  environment: setting(text(), {
    flag: '--env <name>',
    help: 'environment by name, or a file such as ./my-env.js',
  }),
  threadCount: setting(integer(1, threadCountMax), {
    flag: '--threads <count>',
    help: 'threads of one update; where steps are iterations, also of their episodes',
    defaultText: `one per core that the process may use, at most ${threadCountMax}`,
  }),
  engine: setting(oneOf(engineNames).optional(), {
    flag: '--engine <name>',
    help: 'engine that computes the updates',
    defaultText: 'traced',
  }),
  device: setting(oneOf(deviceNames).optional(), {
    flag: '--device <name>',
    help: 'where the traced engine computes the updates; auto: cuda if a small graph runs there, else cpu. webgpu is for serving and is refused',
    defaultText: 'cpu',
  }),
  checkpointMinutes: setting(positive(checkpointMinutesMax).optional(), {
    flag: '--checkpoint-minutes <minutes>',
    help: 'longest time between two checkpoints, which is what a kill can lose; 0.5: thirty seconds',
    defaultText: String(checkpointMinutesDefault),
  }),
  keptSteps: setting(steps().optional(), {
    flag: '--keep-at <steps>',
    help: 'steps, or iterations where the run counts them, after which a copy of the learner is kept, as 50,150: what "hyperpolicy analyse noise" reads',
  }),
  workingDirectory: text().optional(),
  publish: z.strictObject({ store: text(), model: text(), which: oneOf(publishChoices) }).optional(),
});
