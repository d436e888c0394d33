/** Settings of the off-policy loop. */

import { z } from 'zod';
import { invalidArgument } from '../../src/contract/errors.ts';
import { integer, setting } from '../run/setting.ts';

/** Seeds stay safe integers with the offsets that streams of their own add. */
const seedMax = Number.MAX_SAFE_INTEGER - 1_000_000;

/** The settings; of a run that is resumed the seed, the warm-up and the capacity must be those that it began with. */
export const offPolicyLoopSchema = z.strictObject({
  stepCount: setting(integer(1), { flag: '--steps <count>', help: 'environment steps of the whole run' }),
  warmUpStepCount: setting(integer(0), {
    flag: '--warm-up <count>',
    help: 'steps with random actions before the first update',
  }),
  updatesPerStep: setting(integer(1).optional(), {
    flag: '--updates-per-step <count>',
    help: 'updates after each environment step, each with a batch of its own',
  }),
  seed: setting(integer(0, seedMax), {
    flag: '--seed <number>',
    help: 'seed of everything random; equal seeds give equal runs. Evaluations use seed + 100',
  }),
  evaluationInterval: setting(integer(1), {
    flag: '--eval-every <steps>',
    help: 'steps between evaluations; there is one before the first step and one after the last too',
  }),
  evaluationEpisodeCount: setting(integer(1), {
    flag: '--eval-episodes <count>',
    help: 'episodes of one evaluation',
  }),
  checkpointInterval: setting(integer(1), {
    flag: '--checkpoint-every <steps>',
    help: 'steps between checkpoints, beside one every five minutes and one at the end',
  }),
  replayCapacity: setting(integer(1), { flag: '--replay-capacity <count>', help: 'transitions kept' }),
});

export type OffPolicyLoopConfig = Readonly<z.infer<typeof offPolicyLoopSchema>>;

export type OffPolicyConfig = OffPolicyLoopConfig & {
  /** Transitions of one update. */
  readonly batchSize: number;
};

/** Warm-up [C], evaluation and length as in the paper; replay as upstream. Source: Sarafian et al. 2021, appendix. */
export const offPolicyDefaults: OffPolicyLoopConfig = {
  stepCount: 1_000_000,
  warmUpStepCount: 1_000,
  updatesPerStep: 1,
  evaluationInterval: 5_000,
  evaluationEpisodeCount: 10,
  replayCapacity: 1_000_000,
  seed: 0,
  checkpointInterval: 50_000,
};

/** @throws HyperpolicyError invalid_argument: a value out of range */
export function checkLoopConfig(config: OffPolicyConfig): void {
  for (const [name, value] of Object.entries(config)) {
    if (value === undefined) continue;
    const min = name === 'warmUpStepCount' || name === 'seed' ? 0 : 1;
    if (!Number.isSafeInteger(value) || value < min) {
      throw invalidArgument({ where: `train: ${name}`, expected: `an integer of at least ${min}`, actual: `${value}` });
    }
  }
}

/**
 * What a resumed run may not change.
 * @param begun as the run's checkpoint has it
 * @throws HyperpolicyError invalid_argument: it differs
 */
export function checkSameRun(config: OffPolicyConfig, begun: OffPolicyConfig): void {
  // Runs of earlier versions do not name the updates per step.
  const [given, former] = [config, begun].map((of) => ({ ...of, updatesPerStep: of.updatesPerStep ?? 1 }));
  for (const name of ['seed', 'batchSize', 'warmUpStepCount', 'updatesPerStep', 'replayCapacity'] as const) {
    if (given![name] === former![name]) continue;
    throw invalidArgument({
      where: `resume: ${name}`,
      expected: `${former![name]}, as the run began`,
      actual: `${given![name]}`,
    });
  }
}
