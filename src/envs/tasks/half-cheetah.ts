/** HalfCheetah-v5: run forward. Gymnasium's semantics, see the constants. */

import type { TensorSpec } from '../../spec/tensor-spec.ts';
import type { Env } from '../env.ts';
import { createEnv } from '../episode.ts';
import { halfCheetahModel } from '../models/half-cheetah.ts';
import { captureSimulator, openSimulator, reinstateSimulator } from '../simulator.ts';
import { motorSpec, observationSpec } from './specs.ts';

const physicsStepCount = 5;
const stepDurationS = physicsStepCount * 0.01;
const controlCostWeight = 0.1;
const resetNoise = 0.1;

const joints = ['back-thigh', 'back-shin', 'back-foot', 'front-thigh', 'front-shin', 'front-foot'];

/** Torques as a fraction of each motor's strength. */
export const halfCheetahAction: TensorSpec = motorSpec(joints);

/** All coordinates but x, then all velocities. */
const observation = observationSpec([
  ['torso.z', 'm'],
  ['torso.pitch', 'rad'],
  ...joints.map((joint) => [`${joint}.angle`, 'rad'] as const),
  ['torso.x-velocity', 'm/s'],
  ['torso.z-velocity', 'm/s'],
  ['torso.pitch-velocity', 'rad/s'],
  ...joints.map((joint) => [`${joint}.velocity`, 'rad/s'] as const),
]);

/** reward = v_x - 0.1 |a|^2; never terminates; 1000 steps of 0.05 s. */
export async function createHalfCheetah(): Promise<Env> {
  const simulator = await openSimulator(halfCheetahModel());
  const info = { xPosition: 0, xVelocity: 0, rewardForward: 0, rewardControl: 0 };
  return createEnv({
    name: 'HalfCheetah-v5',
    specs: { observation, action: halfCheetahAction, context: null },
    episodeStepCountMax: 1000,
    stepDurationS,
    info,

    begin(random) {
      simulator.refresh();
      simulator.rewind();
      const { qpos, qvel } = simulator;
      for (let i = 0; i < qpos.length; i++) qpos[i]! += resetNoise * (2 * random.uniform() - 1);
      for (let i = 0; i < qvel.length; i++) qvel[i]! += resetNoise * random.normal();
      simulator.forward();
      info.xPosition = qpos[0]!;
      info.xVelocity = info.rewardForward = info.rewardControl = 0;
    },

    advance(action, outcome) {
      simulator.refresh();
      const { qpos, ctrl } = simulator;
      const xBefore = qpos[0]!;
      let squares = 0;
      for (let i = 0; i < action.length; i++) {
        const value = action[i]!;
        ctrl[i] = value;
        squares += value * value;
      }
      if (!simulator.advance(physicsStepCount)) return false;
      const x = qpos[0]!;
      info.xPosition = x;
      info.xVelocity = (x - xBefore) / stepDurationS;
      info.rewardForward = info.xVelocity;
      info.rewardControl = -controlCostWeight * squares;
      outcome.reward = info.rewardForward + info.rewardControl;
      outcome.terminated = false;
      return true;
    },

    observe(out) {
      const { qpos, qvel } = simulator;
      const positionCount = qpos.length - 1;
      for (let i = 0; i < positionCount; i++) out[i] = qpos[i + 1]!;
      for (let i = 0; i < qvel.length; i++) out[positionCount + i] = qvel[i]!;
    },

    capture: () => captureSimulator(simulator),
    reinstate: (arrays) => reinstateSimulator(simulator, arrays),
    dispose: () => simulator.dispose(),
  });
}
