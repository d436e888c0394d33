/**
 * The simulated robot: Gymnasium's Hopper, physics at 500 Hz and control at 100 Hz. Its default export is the environment that its policy is
 * trained in; the simulation steps the same robot by single physics steps.
 */

import type { Env } from '../../../src/envs/env.ts';
import { hopperModel } from '../../../src/envs/models/planar-walkers.ts';
import { createPlanarRunner, uniformNoise } from '../../../src/envs/tasks/planar-runner.ts';

export const physicsStepMs = 2;
export const controlPeriodMs = 10;

/** Height over 0.7 m, pitch within +-0.2 rad: it stands, or hops. */
export const stands = (height: number, pitch: number): boolean => height > 0.7 && Math.abs(pitch) < 0.2;

/** @param isTraining an episode then ends where it falls, at most after 1000 steps of control */
function create(isTraining: boolean): Promise<Env> {
  return createPlanarRunner({
    name: isTraining ? 'Hopper-100Hz' : 'Hopper-500Hz',
    model: hopperModel(),
    joints: ['thigh', 'leg', 'foot'],
    physicsStepS: physicsStepMs / 1000,
    physicsStepCount: isTraining ? controlPeriodMs / physicsStepMs : 1,
    episodeStepCountMax: isTraining ? 1000 : Number.MAX_SAFE_INTEGER,
    controlCostWeight: 1e-3,
    noise: { position: uniformNoise(5e-3), velocity: uniformNoise(5e-3) },
    velocityLimit: 10,
    ...(isTraining && { healthy: ([, height, pitch]) => stands(height!, pitch!) }),
  });
}

export const createRobot = (): Promise<Env> => create(false);

export default (): Promise<Env> => create(true);
