/** The metrics of a run under the names that TensorBoard shows for runs of Stable-Baselines3. */

import type { Scalar } from './event-file.ts';

/** Metrics that Stable-Baselines3 has too. */
const tags: Readonly<Record<string, string>> = {
  episodeReturn: 'rollout/ep_rew_mean',
  episodeLength: 'rollout/ep_len_mean',
  evaluationReturn: 'eval/mean_reward',
  evaluationLength: 'eval/mean_ep_length',
  alpha: 'train/ent_coef',
  temperatureLoss: 'train/ent_coef_loss',
};

/** Of iterations: training episodes after adaptation (MAML), or of collection (PEARL). They have a tag of their own too. */
const alsoTags: Readonly<Record<string, string>> = {
  postReturn: 'rollout/ep_rew_mean',
  trainReturn: 'rollout/ep_rew_mean',
};

/** `rollout/ep_rew_mean` and `rollout/ep_len_mean` are means of this many episodes. */
const episodeCount = 100;
/** `time/fps` is written at most once in this many seconds of training. */
const rateInterval = 1;

type Metrics = { readonly step: number; readonly seconds: number; readonly [name: string]: number };

/**
 * @param options.stepsAreEnvironmentSteps else a record's `environmentSteps` are counted, if it has them
 * @returns the scalars of the next record. Values that are not finite are left out
 */
export function createScalars({ stepsAreEnvironmentSteps }: { readonly stepsAreEnvironmentSteps: boolean }) {
  const windows = { episodeReturn: [] as number[], episodeLength: [] as number[] };
  const rate = createRate(stepsAreEnvironmentSteps);
  return (record: Metrics): Scalar[] => {
    const { step, seconds, ...metrics } = record;
    const group = 'evaluationReturn' in metrics ? 'eval' : 'episodeReturn' in metrics ? 'rollout' : 'train';
    const scalars = Object.entries(metrics).flatMap(([name, metric]) => {
      const value = name in windows ? meanOfLast(windows[name as keyof typeof windows], metric) : metric;
      const own = tags[name] ?? `${group}/${snakeCase(name)}`;
      return [own, alsoTags[name]].flatMap((tag) => (tag === undefined ? [] : [{ tag, value }]));
    });
    const fps = rate(record);
    return [...scalars, ...(fps === undefined ? [] : [{ tag: 'time/fps', value: fps }])].filter(({ value }) =>
      Number.isFinite(value),
    );
  };
}

function meanOfLast(window: number[], value: number): number {
  window.push(value);
  if (window.length > episodeCount) window.shift();
  return window.reduce((sum, one) => sum + one, 0) / window.length;
}

/** Environment steps a second since the first record. */
function createRate(stepsAreEnvironmentSteps: boolean) {
  let first: { readonly steps: number; readonly seconds: number } | undefined;
  let counted = 0;
  let toldAt = 0;
  return ({ step, seconds, environmentSteps = 0 }: Metrics): number | undefined => {
    counted += environmentSteps;
    const steps = stepsAreEnvironmentSteps ? step : counted;
    first ??= { steps, seconds };
    if (steps <= first.steps || seconds - Math.max(first.seconds, toldAt) < rateInterval) return undefined;
    toldAt = seconds;
    return Math.round((steps - first.steps) / (seconds - first.seconds));
  };
}

/** `criticLoss` as `critic_loss`. */
export const snakeCase = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
