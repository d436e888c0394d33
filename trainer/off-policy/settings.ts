/** Settings that off-policy algorithms share, each with its flag: parts of an algorithm's schema. */

import { z } from 'zod';
import { criticDefaults } from '../../src/nn/defaults.ts';
import { criticNames, hyperCriticNames } from '../../src/nn/names.ts';
import type { Unused } from '../run/algorithm.ts';
import { batchRows, discountSetting, namesIn, oneOf, rate, setting, widths } from '../run/setting.ts';
import { hyperShape } from './hyper-settings.ts';
import { policyShape } from './policies.ts';

/** A critic as `src/nn/critics/registry.ts` takes it. */
const criticSchema = z.strictObject({
  architecture: setting(oneOf<readonly [string, ...string[]]>(criticNames), {
    flag: '--critic <architecture>',
    help: 'a critic of "hyperpolicy architectures"; what it lists as "sa-hyper rank 16" is sa-hyper with --set algorithm.critic.headRank=16',
  }),
  hiddenSizes: setting(widths().optional(), { help: "widths of an MLP critic's hidden layers" }),
  ...hyperShape,
});

export type CriticSettings = Readonly<z.infer<typeof criticSchema>>;

/** With what its architecture has where nothing is given. */
export const wholeCritic = (critic: CriticSettings): CriticSettings => ({
  ...criticDefaults(critic.architecture),
  ...critic,
});

/** What this critic has no use for. */
export function unusedByCritic({ architecture }: CriticSettings): Unused[] {
  const read = [
    ...namesIn('critic', criticDefaults(architecture)),
    ...(hyperCriticNames.includes(architecture) ? ['critic.headRank'] : []),
  ];
  const names = ['critic.hiddenSizes', ...namesIn('critic', hyperShape)];
  return [{ by: `critic "${architecture}"`, names: names.filter((name) => !read.includes(name)) }];
}

/** Settings of an actor and critics that follow their targets by Polyak averaging. */
export const actorCriticShape = {
  ...policyShape,
  critic: criticSchema,
  actorHiddenSizes: setting(widths().optional(), {
    flag: '--actor-hidden <widths>',
    help: "widths of the actor's hidden layers",
  }),
  batchSize: setting(batchRows(), { flag: '--batch-size <rows>', help: 'transitions of one update' }),
  actorLearningRate: setting(rate(), { flag: '--actor-lr <rate>', help: 'learning rate of the actor' }),
  criticLearningRate: setting(rate(), { flag: '--critic-lr <rate>', help: 'learning rate of the critics' }),
  gamma: discountSetting(),
  tau: setting(rate(), {
    flag: '--tau <fraction>',
    help: 'Polyak factor: fraction by which the target networks move towards the networks at an update',
  }),
};
