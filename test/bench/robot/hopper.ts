/**
 * The simulated robot: Gymnasium's Hopper, physics and drives at 500 Hz, control at 100 Hz. Its drives balance it by themselves, as a robot's
 * own controller does; an action is what is added to that, up to 0.6 of their torque. With no action it stands, so that is its safe action.
 */

import type { Env } from '../../../src/envs/env.ts';
import { hopperModel } from '../../../src/envs/models/planar-walkers.ts';
import { createPlanarRunner, uniformNoise } from '../../../src/envs/tasks/planar-runner.ts';
import { balance } from './balance.ts';

export const physicsStepMs = 2;
export const controlPeriodMs = 10;
/**
 * How often the policy gets a new observation; between them it is asked with the same again. It was trained with actions that last 10 to 80 ms, and
 * with a new observation every 10 ms it comes to rest.
 */
export const observationPeriodMs = 50;
/** An action is applied until its observation is so old, milliseconds. */
export const ageMsMax = 50;
/** From there to the safe action. */
export const rampMs = 40;
export const safeAction = [0, 0, 0];
const actionShare = 0.6;

/** Height over 0.7 m, pitch within +-0.2 rad, as Gymnasium has it: it stands, or hops. */
export const stands = (height: number, pitch: number): boolean => height > 0.7 && Math.abs(pitch) < 0.2;

/** A step is one of physics. It never ends an episode by itself. */
export async function createRobot(): Promise<Env> {
  const body = await createPlanarRunner({
    name: 'Hopper-500Hz',
    model: hopperModel(),
    joints: ['thigh', 'leg', 'foot'],
    physicsStepS: physicsStepMs / 1000,
    physicsStepCount: 1,
    episodeStepCountMax: Number.MAX_SAFE_INTEGER,
    controlCostWeight: 0,
    noise: { position: uniformNoise(5e-3), velocity: uniformNoise(5e-3) },
    velocityLimit: 10,
  });
  let observation: Float64Array;
  return {
    ...body,
    reset(seed) {
      const begun = body.reset(seed);
      observation = begun.observation;
      return begun;
    },
    step(action) {
      const torques = balance(observation).map((own, i) => clip(own + actionShare * clip(action[i]!)));
      const result = body.step(torques);
      observation = result.observation;
      return result;
    },
    restore(state) {
      observation = body.restore(state);
      return observation;
    },
  };
}

const clip = (torque: number): number => Math.min(Math.max(torque, -1), 1);
