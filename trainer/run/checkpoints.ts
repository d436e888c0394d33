/** The checkpoints of a run for its loop: whether one is due, writing it, and loading the newest one. */

import { join } from 'node:path';
import { invalidArgument } from '../../src/contract/errors.ts';
import type { GivenSettings, RunContext } from './algorithm.ts';
import { loadNewestCheckpoint, readNewestState, saveCheckpoint } from './checkpoint.ts';
import { checkpointMinutesDefault } from './config.ts';
import { checkpointMessage } from './logging.ts';
import type { MetricFiles } from './metrics.ts';
import { joinParts, splitParts } from './parts.ts';
import type { JsonValue, SavedState } from './saved-state.ts';

/** Holds the checkpoints of a run, `<step>/` each. */
export const checkpointDirectory = (runDirectory: string) => join(runDirectory, 'checkpoints');

/** The part of a checkpoint that has the run's settings. */
const settingsPart = 'settings';

export type Checkpoints = {
  /** Whether the last one is older than the interval. */
  isDue(): boolean;
  /** Calls `save`. If it fails there is a warning, and the interval begins anew: a full disk may have room again at the next one. */
  attempt(step: number, save: () => Promise<unknown>): Promise<void>;
  /**
   * Writes one, unless this step has one.
   * @param options.hasChanged the step is in progress and has come further since its last one, which is then replaced
   * @returns its directory, and whether it was written now
   */
  save(
    step: number,
    contents: () => Promise<{ readonly parts: Readonly<Record<string, SavedState>>; readonly state: JsonValue }>,
    options: { readonly hasChanged: boolean },
  ): Promise<{ readonly path: string; readonly isNew: boolean }>;
};

/**
 * @param options.files are flushed first: a checkpoint's metrics must be on the disk before it
 * @param options.resumedStep of the checkpoint from which the run resumes
 */
export function createCheckpoints(
  { runDirectory, settings, checkpointIntervalMs = 60_000 * checkpointMinutesDefault, log, observer }: RunContext,
  options: { readonly now: () => number; readonly files: MetricFiles; readonly resumedStep: number | undefined },
): Checkpoints {
  const directory = checkpointDirectory(runDirectory);
  let savedStep = options.resumedStep;
  let savedAt = options.now();
  return {
    isDue: () => options.now() - savedAt >= checkpointIntervalMs,
    async attempt(step, save) {
      try {
        await save();
      } catch (error) {
        savedAt = options.now();
        log?.warn({ step, error: (error as Error).message }, 'no checkpoint could be written; training goes on');
      }
    },
    async save(step, contents, { hasChanged }) {
      if (savedStep === step && !hasChanged) return { path: join(directory, String(step)), isNew: false };
      options.files.flush();
      const { parts, state } = await contents();
      const all = settings === undefined ? parts : { ...parts, [settingsPart]: { arrays: {}, state: settings } };
      const path = await saveCheckpoint(directory, { step, ...joinParts(all, state) });
      savedStep = step;
      savedAt = options.now();
      log?.info({ step, path }, checkpointMessage);
      observer?.checkpoint();
      return { path, isNew: true };
    },
  };
}

/**
 * The settings that the run of the newest checkpoint has; undefined if there is no checkpoint, or one of a former version.
 * @throws HyperpolicyError invalid_argument: it is damaged
 */
export async function checkpointSettings(runDirectory: string): Promise<GivenSettings | undefined> {
  const joined = await readNewestState(checkpointDirectory(runDirectory));
  const { parts } = (joined ?? {}) as { readonly parts?: { readonly [settingsPart]?: GivenSettings } };
  return parts?.[settingsPart];
}

export type LoadedRun<Part extends string> = {
  readonly step: number;
  readonly parts: Readonly<Record<Part, SavedState>>;
  /** State of the loop. */
  readonly state: JsonValue;
};

/**
 * The newest checkpoint of a run.
 * @param partNames that it must have
 * @throws HyperpolicyError invalid_argument: there is none, or it is damaged
 */
export async function loadRun<Part extends string>(
  runDirectory: string,
  partNames: readonly Part[],
): Promise<LoadedRun<Part>> {
  const directory = checkpointDirectory(runDirectory);
  const checkpoint = await loadNewestCheckpoint(directory);
  if (checkpoint === null) {
    throw invalidArgument({
      where: `resume: ${directory}`,
      expected: 'a checkpoint',
      actual: 'none',
      remedy: 'Start the run without resuming',
    });
  }
  return { step: checkpoint.step, ...splitParts(checkpoint, partNames) };
}
