/** Settings of the off-policy loop. */

import { z } from 'zod';
import { invalidArgument } from '../../src/contract/errors.ts';
import { overdrawn } from '../replay/batch.ts';
import { integer, positive, seedSetting, setting } from '../run/setting.ts';

/**
 * Most updates per environment step, as of one run of the engine: those of the smallest networks take half a minute then. A count of all
 * updates stays exact, too.
 */
const updatesPerStepMax = 10_000;

/** The settings; those of a run that is resumed must be as it began, but for `resumableLoopSettings`. */
export const offPolicyLoopSchema = z.strictObject({
  stepCount: setting(integer(1), { flag: '--steps <count>', help: 'environment steps of the whole run' }),
  warmUpStepCount: setting(integer(0), {
    flag: '--warm-up <count>',
    help: 'steps with random actions before the first update',
  }),
  updatesPerStep: setting(positive(updatesPerStepMax).optional(), {
    flag: '--updates-per-step <ratio>',
    help: 'updates per environment step, each with its own batch; 0.25: one every four steps',
  }),
  updatesPerRun: setting(integer(1, 10_000).optional(), {
    flag: '--updates-per-run <count>',
    help:
      'updates of one run of the engine; with 50 and one update per step there is a run every 50 steps. Take 50 to 200 on cuda: ' +
      'parameters are copied there and back once per run. On a CPU it saves nothing',
  }),
  environmentCount: setting(integer(1, 4096).optional(), {
    flag: '--envs <count>',
    help: 'environments that are stepped together; the steps of all are counted',
  }),
  collectorThreadCount: setting(integer(0, 256).optional(), {
    flag: '--env-threads <count>',
    help: 'threads that step environments while the learner updates; results do not depend on them',
    defaultText: 'one per environment, at most all cores but one',
  }),
  seed: seedSetting(),
  evaluationInterval: setting(integer(1), {
    flag: '--eval-every <steps>',
    help: 'steps between evaluations; there is also one before the first and after the last step',
  }),
  evaluationEpisodeCount: setting(integer(1), {
    flag: '--eval-episodes <count>',
    help: 'episodes of one evaluation',
  }),
  checkpointInterval: setting(integer(1), {
    flag: '--checkpoint-every <steps>',
    help: 'steps between checkpoints; there are also those of --checkpoint-minutes and one at the end',
  }),
  replayCapacity: setting(integer(1), {
    flag: '--replay-capacity <count>',
    help: 'most transitions in the replay buffer',
  }),
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
  updatesPerRun: 1,
  environmentCount: 1,
  // The machine decides.
  collectorThreadCount: undefined,
  evaluationInterval: 5_000,
  evaluationEpisodeCount: 10,
  replayCapacity: 1_000_000,
  seed: 0,
  checkpointInterval: 50_000,
};

/** Settings that a resumed run may change. */
export const resumableLoopSettings = [
  'stepCount',
  'evaluationInterval',
  'evaluationEpisodeCount',
  'checkpointInterval',
  'collectorThreadCount',
] as const;

/** What decides a run, with the settings that may be absent as they then are. */
export const decidingSettings = ({ collectorThreadCount: _, ...config }: OffPolicyConfig) => ({
  ...config,
  updatesPerStep: config.updatesPerStep ?? 1,
  updatesPerRun: updatesPerRunOf(config),
  environmentCount: config.environmentCount ?? 1,
});

/** Updates that are taken together. */
export const updatesPerRunOf = ({ updatesPerRun = 1 }: Pick<OffPolicyLoopConfig, 'updatesPerRun'>): number =>
  updatesPerRun;

/** Updates that are due once so many steps are done: those of whole runs. What is left at a run's end is taken if it goes on. */
export function updatesDue(config: OffPolicyConfig, step: number): number {
  const updatesPerRun = updatesPerRunOf(config);
  const updates = Math.max(0, step - config.warmUpStepCount) * (config.updatesPerStep ?? 1);
  return Math.floor(updates / updatesPerRun) * updatesPerRun;
}

/** The step that a run ends with: each is one of every environment. */
export function lastStepOf({ stepCount, environmentCount = 1 }: OffPolicyLoopConfig): number {
  return Math.ceil(stepCount / environmentCount) * environmentCount;
}

/** Lines for the person on settings with which nothing is learnt, or little. */
export function loopWarnings(config: OffPolicyConfig): string[] {
  const { stepCount, warmUpStepCount, updatesPerStep = 1, batchSize, replayCapacity } = config;
  const firstStep = warmUpStepCount + Math.ceil(updatesPerRunOf(config) / updatesPerStep);
  const idle = `nothing is learnt in ${stepCount} steps: the first update comes at step ${firstStep}, after a warm-up of ${warmUpStepCount}. Give more --steps or less warm-up`;
  return [
    ...(updatesDue(config, lastStepOf(config)) === 0 ? [idle] : []),
    ...overdrawn({ flag: '--batch-size', size: batchSize }, { flag: '--replay-capacity', capacity: replayCapacity }),
  ];
}

/** @throws HyperpolicyError invalid_argument: a value out of range */
export function checkLoopConfig({ updatesPerStep = 1, ...config }: OffPolicyConfig): void {
  if (!(updatesPerStep > 0 && updatesPerStep <= updatesPerStepMax)) {
    const [where, expected] = ['train: updatesPerStep', `a number above 0 and at most ${updatesPerStepMax}`];
    throw invalidArgument({ where, expected, actual: `${updatesPerStep}` });
  }
  for (const [name, value] of Object.entries(config)) {
    if (value === undefined) continue;
    const min = ['warmUpStepCount', 'seed', 'collectorThreadCount'].includes(name) ? 0 : 1;
    if (!Number.isSafeInteger(value) || value < min) {
      throw invalidArgument({ where: `train: ${name}`, expected: `an integer of at least ${min}`, actual: `${value}` });
    }
  }
}

/**
 * Checks the settings that a resumed run may not change.
 * @param begun as the run's checkpoint has it
 * @throws HyperpolicyError invalid_argument: it differs
 */
export function checkSameRun(config: OffPolicyConfig, begun: OffPolicyConfig): void {
  const [given, former] = [decidingSettings(config), decidingSettings(begun)];
  const fixed = [
    'seed',
    'batchSize',
    'warmUpStepCount',
    'updatesPerStep',
    'updatesPerRun',
    'environmentCount',
    'replayCapacity',
  ] as const;
  for (const name of fixed) {
    if (given[name] === former[name]) continue;
    throw invalidArgument({
      where: `resume: ${name}`,
      expected: `${former[name]}, as the run began`,
      actual: `${given[name]}`,
    });
  }
}
