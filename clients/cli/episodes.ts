/** Episodes of an environment with every action from a server. */

import type { Env, ResetOptions } from '../../src/envs/env.ts';
import type { PolicyClient } from '../typescript/client.ts';

/** The version that was described, even if a newer one comes meanwhile. */
export type DrivenModel = {
  readonly model: string;
  readonly version: number;
  readonly fingerprint: string;
};

export type EpisodeStart = ResetOptions & {
  /** Of the environment's reset. */
  readonly seed: number;
};

/** Gives the action for an observation. @param step from 0 */
export type Act = (
  observation: Float32Array,
  step: number,
) => Promise<{ readonly action: { readonly values: Float32Array } }>;

/** A step as the environment answered; its observations are copies. A step in which the simulator diverged is none. */
export type Transition = {
  readonly observation: Float32Array;
  readonly action: Float32Array;
  readonly reward: number;
  readonly nextObservation: Float32Array;
};

export type PlayedEpisode = {
  readonly return: number;
  /** How long each action took, milliseconds. */
  readonly timesMs: readonly number[];
};

/** @param keep gets each transition in turn */
export async function playEpisode(
  environment: Env,
  { seed, ...options }: EpisodeStart,
  act: Act,
  keep: (transition: Transition) => void = () => {},
): Promise<PlayedEpisode> {
  let observation = Float32Array.from(environment.reset(seed, options).observation);
  let total = 0;
  const timesMs: number[] = [];
  for (let ended = false; !ended; ) {
    const startMs = performance.now();
    const { values: action } = (await act(observation, timesMs.length)).action;
    timesMs.push(performance.now() - startMs);
    const { reward, terminated, truncated, diverged, ...step } = environment.step(action);
    const nextObservation = Float32Array.from(step.observation);
    if (!diverged) keep({ observation, action, reward, nextObservation });
    total += reward;
    observation = nextObservation;
    ended = terminated || truncated;
  }
  return { return: total, timesMs };
}

export type EpisodeResult = { readonly return: number; readonly steps: number } & ActTimes;

/** One episode with deterministic actions; where the model takes a context, it is the environment's. */
export async function driveEpisode(
  client: PolicyClient,
  environment: Env,
  { takesContext, ...model }: DrivenModel & { readonly takesContext: boolean },
  start: EpisodeStart,
): Promise<EpisodeResult> {
  const played = await playEpisode(environment, start, (observation, step) =>
    client.act({
      ...model,
      observation,
      ...(takesContext && environment.context !== null && { context: Float32Array.from(environment.context) }),
      sequence: BigInt(step),
    }),
  );
  return { return: played.return, steps: played.timesMs.length, ...actTimes(played.timesMs) };
}

export const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Time of the middle and of the slowest call, milliseconds. */
export type ActTimes = { readonly actP50Ms: number; readonly actMaxMs: number };

export function actTimes(timesMs: readonly number[]): ActTimes {
  const sorted = [...timesMs].sort((a, b) => a - b);
  const rounded = (value: number) => Math.round(value * 1000) / 1000;
  return { actP50Ms: rounded(sorted[Math.floor(sorted.length / 2)]!), actMaxMs: rounded(sorted.at(-1)!) };
}
