/** HalfCheetah: run forward, or at a given velocity or in a given direction. Never terminates. */

import type { Env } from '../env.ts';
import { halfCheetahModel } from '../models/half-cheetah.ts';
import { directionTasks, type TaskDistribution, uniformTasks } from '../task-distribution.ts';
import { createPlanarRunner, normalNoise, type PlanarRunner, uniformNoise } from './planar-runner.ts';
import { directionContext, velocityContext } from './specs.ts';

const joints = ['back-thigh', 'back-shin', 'back-foot', 'front-thigh', 'front-shin', 'front-foot'];

const runner = (name: string): PlanarRunner => ({
  name,
  model: halfCheetahModel(),
  joints,
  physicsStepS: 0.01,
  physicsStepCount: 5,
  episodeStepCountMax: 1000,
  controlCostWeight: 0.1,
  noise: { position: uniformNoise(0.1), velocity: normalNoise(0.1) },
});

/** reward = v_x - 0.1 |a|^2; 1000 steps of 0.05 s. Gymnasium's v4 and v5 are the same task. */
export const createHalfCheetah = (name: string): Promise<Env> => createPlanarRunner(runner(name));

/**
 * A meta-RL runner: 20 observations, control cost 0.05 |a|^2, 200 steps.
 * Reference: the observation contains the absolute x (HypeRL, half_cheetah.py); kept, so that results compare.
 */
const metaRunner = (
  name: string,
  tasks: TaskDistribution,
  forwardReward: NonNullable<PlanarRunner['forwardReward']>,
): Promise<Env> =>
  createPlanarRunner({
    ...runner(name),
    episodeStepCountMax: 200,
    controlCostWeight: 0.05,
    observesTorso: true,
    tasks,
    forwardReward,
  });

/** reward = d v_x - 0.05 |a|^2, direction d = +-1. */
export const createHalfCheetahFwdBack = (): Promise<Env> =>
  metaRunner('HalfCheetah-Fwd-Back', directionTasks(directionContext), (velocity, task) => task[0]! * velocity);

const velocityReward = (velocity: number, task: Float64Array) => -Math.abs(velocity - task[0]!);

/** reward = -|v_x - v*| - 0.05 |a|^2, v* in [0, 3] m/s. */
export const createHalfCheetahVel = (): Promise<Env> =>
  metaRunner('HalfCheetah-Vel', uniformTasks({ spec: velocityContext, train: [[0, 3]] }), velocityReward);

/** As HalfCheetah-Vel, with training tasks in [0, 2.5] and test tasks beyond, in [2.5, 3] m/s. */
export const createHalfCheetahVelMedium = (): Promise<Env> =>
  metaRunner(
    'HalfCheetah-Vel-Medium',
    uniformTasks({ spec: velocityContext, train: [[0, 2.5]], test: [[2.5, 3]] }),
    velocityReward,
  );
