/** Walker2d: walk forward on two legs without falling. */

import type { Env } from '../env.ts';
import { walker2dModel } from '../models/planar-walkers.ts';
import { createPlanarRunner, type PlanarRunner, uniformNoise } from './planar-runner.ts';
import { randomisedParameters } from './randomised-parameters.ts';

const runner = (name: string, rightFootFriction: number): PlanarRunner => ({
  name,
  model: walker2dModel({ rightFootFriction }),
  joints: ['right-thigh', 'right-leg', 'right-foot', 'left-thigh', 'left-leg', 'left-foot'],
  physicsStepS: 0.002,
  physicsStepCount: 4,
  episodeStepCountMax: 1000,
  controlCostWeight: 1e-3,
  noise: { position: uniformNoise(5e-3), velocity: uniformNoise(5e-3) },
  velocityLimit: 10,
  /** Height in (0.8, 2) m, pitch within +-1 rad. */
  healthy: (qpos) => qpos[1]! > 0.8 && qpos[1]! < 2 && Math.abs(qpos[2]!) < 1,
});

/** reward = v_x + 1 - 0.001 |a|^2; 1000 steps of 8 ms. v4: a slippery right foot, and the 1 in the last step too. */
export const createWalker2d = (name: 'Walker2d-v5' | 'Walker2d-v4'): Promise<Env> =>
  createPlanarRunner(name === 'Walker2d-v5' ? runner(name, 1.9) : { ...runner(name, 0.9), paysUnhealthyStep: true });

/** Walker2d with masses, inertias, damping and friction drawn per task; 200 steps. */
export const createWalker2dRandParams = (): Promise<Env> => {
  const base = runner('Walker2d-Rand-Params', 0.9);
  return createPlanarRunner({
    ...base,
    episodeStepCountMax: 200,
    paysUnhealthyStep: true,
    ...randomisedParameters(base),
  });
};
