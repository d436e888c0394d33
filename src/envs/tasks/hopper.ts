/** Hopper: hop forward without falling. */

import type { Env } from '../env.ts';
import { hopperModel } from '../models/planar-walkers.ts';
import { createPlanarRunner, type PlanarRunner, uniformNoise } from './planar-runner.ts';
import { randomisedParameters } from './randomised-parameters.ts';

/** Height over 0.7 m, pitch within +-0.2 rad, and every other coordinate and velocity within +-100. */
function healthy(qpos: Float64Array, qvel: Float64Array): boolean {
  if (!(qpos[1]! > 0.7 && Math.abs(qpos[2]!) < 0.2)) return false;
  for (let i = 2; i < qpos.length; i++) if (!(Math.abs(qpos[i]!) < 100)) return false;
  for (let i = 0; i < qvel.length; i++) if (!(Math.abs(qvel[i]!) < 100)) return false;
  return true;
}

const runner = (name: string): PlanarRunner => ({
  name,
  model: hopperModel(),
  joints: ['thigh', 'leg', 'foot'],
  physicsStepS: 0.002,
  physicsStepCount: 4,
  episodeStepCountMax: 1000,
  controlCostWeight: 1e-3,
  noise: { position: uniformNoise(5e-3), velocity: uniformNoise(5e-3) },
  velocityLimit: 10,
  healthy,
});

/** reward = v_x + 1 - 0.001 |a|^2; 1000 steps of 8 ms. v4 pays the 1 in the last step too. */
export const createHopper = (name: 'Hopper-v5' | 'Hopper-v4'): Promise<Env> =>
  createPlanarRunner({ ...runner(name), paysUnhealthyStep: name === 'Hopper-v4' });

/** Hopper with masses, inertias, damping and friction drawn per task; 200 steps. */
export const createHopperRandParams = (): Promise<Env> => {
  const base = runner('Hopper-Rand-Params');
  return createPlanarRunner({
    ...base,
    episodeStepCountMax: 200,
    paysUnhealthyStep: true,
    ...randomisedParameters(base),
  });
};
