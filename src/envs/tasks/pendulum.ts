/** Pendulum-v1: swing a rod up and hold it there. Gymnasium's semantics; needs no simulator, for quick tests. */

import type { Env } from '../env.ts';
import { createEnv } from '../episode.ts';

const gravity = 10;
const mass = 1;
const length = 1;
const stepDurationS = 0.05;
const torqueLimit = 2;
const speedLimit = 8;

const clip = (value: number, limit: number): number => Math.min(Math.max(value, -limit), limit);

/** An angle in [-pi, pi). */
const wrap = (angle: number): number => angle - 2 * Math.PI * Math.floor((angle + Math.PI) / (2 * Math.PI));

/** reward = -(angle^2 + 0.1 speed^2 + 0.001 torque^2), angle 0 upright; the torque counts as clipped; 200 steps. */
export async function createPendulum(): Promise<Env> {
  let angle = 0;
  let speed = 0;
  return createEnv({
    name: 'Pendulum-v1',
    specs: {
      observation: {
        names: ['rod.cos', 'rod.sin', 'rod.velocity'],
        low: [-1, -1, -speedLimit],
        high: [1, 1, speedLimit],
        units: ['1', '1', 'rad/s'],
      },
      action: { names: ['rod.torque'], low: [-torqueLimit], high: [torqueLimit], units: ['N m'] },
      context: null,
    },
    tasks: null,
    episodeStepCountMax: 200,
    stepDurationS,
    info: {},

    begin(random) {
      angle = Math.PI * (2 * random.uniform() - 1);
      speed = 2 * random.uniform() - 1;
    },

    advance(action, outcome) {
      const torque = clip(action[0]!, torqueLimit);
      outcome.reward = -(wrap(angle) ** 2 + 0.1 * speed ** 2 + 0.001 * torque ** 2);
      outcome.terminated = false;
      const acceleration = ((3 * gravity) / (2 * length)) * Math.sin(angle) + (3 / (mass * length ** 2)) * torque;
      speed = clip(speed + acceleration * stepDurationS, speedLimit);
      angle += speed * stepDurationS;
      return true;
    },

    observe(out) {
      out[0] = Math.cos(angle);
      out[1] = Math.sin(angle);
      out[2] = speed;
    },

    capture: () => ({ angle: Float64Array.of(angle), speed: Float64Array.of(speed) }),
    reinstate(arrays) {
      angle = arrays.angle![0]!;
      speed = arrays.speed![0]!;
    },
    scene: () => ({
      view: 'side',
      shapes: [
        { name: 'rod', kind: 'capsule', size: [0.08, length / 2], colour: [0.8, 0.36, 0.28] },
        { name: 'pivot', kind: 'sphere', size: [0.1], colour: [0.3, 0.3, 0.33] },
      ],
      pose(out) {
        // Angle 0 is up; the rod turns about y through half the angle of its quaternion.
        const centre = [(length / 2) * Math.sin(angle), 0, (length / 2) * Math.cos(angle)];
        out.set([...centre, Math.cos(angle / 2), 0, Math.sin(angle / 2), 0, 0, 0, 0, 1, 0, 0, 0]);
      },
    }),
    dispose() {},
  });
}
