/** Pendulum-v1: swing a rod up and hold it there. Gymnasium's semantics; needs no simulator, for quick tests. */

import type { Random } from '../../contract/random.ts';
import type { PolicySpecs } from '../../contract/tensor-spec.ts';
import type { Env } from '../env.ts';
import { createEnv, type Outcome, type Task } from '../episode.ts';
import type { Scene } from '../scene.ts';

const gravity = 10;
const mass = 1;
const length = 1;
const stepDurationS = 0.05;
const torqueLimit = 2;
const speedLimit = 8;

const clip = (value: number, limit: number): number => Math.min(Math.max(value, -limit), limit);

/** An angle in [-pi, pi). */
const wrap = (angle: number): number => angle - 2 * Math.PI * Math.floor((angle + Math.PI) / (2 * Math.PI));

const specs: PolicySpecs = {
  observation: {
    names: ['rod.cos', 'rod.sin', 'rod.velocity'],
    low: [-1, -1, -speedLimit],
    high: [1, 1, speedLimit],
    units: ['1', '1', 'rad/s'],
  },
  action: { names: ['rod.torque'], low: [-torqueLimit], high: [torqueLimit], units: ['N m'] },
  context: null,
};

/** reward = -(angle^2 + 0.1 speed^2 + 0.001 torque^2), angle 0 upright; the torque counts as clipped; 200 steps. */
export const createPendulum = async (): Promise<Env> => createEnv(new Pendulum());

class Pendulum implements Task {
  readonly name = 'Pendulum-v1';
  readonly specs = specs;
  readonly tasks = null;
  readonly episodeStepCountMax = 200;
  readonly stepDurationS = stepDurationS;
  readonly info = {};
  #angle = 0;
  #speed = 0;

  begin(random: Random): void {
    this.#angle = Math.PI * (2 * random.uniform() - 1);
    this.#speed = 2 * random.uniform() - 1;
  }

  advance(action: Float64Array, outcome: Outcome): boolean {
    const angle = this.#angle;
    const torque = clip(action[0]!, torqueLimit);
    outcome.reward = -(wrap(angle) ** 2 + 0.1 * this.#speed ** 2 + 0.001 * torque ** 2);
    outcome.terminated = false;
    const acceleration = ((3 * gravity) / (2 * length)) * Math.sin(angle) + (3 / (mass * length ** 2)) * torque;
    this.#speed = clip(this.#speed + acceleration * stepDurationS, speedLimit);
    this.#angle = angle + this.#speed * stepDurationS;
    return true;
  }

  observe(out: Float64Array): void {
    out[0] = Math.cos(this.#angle);
    out[1] = Math.sin(this.#angle);
    out[2] = this.#speed;
  }

  capture(): Record<string, Float64Array> {
    return { angle: Float64Array.of(this.#angle), speed: Float64Array.of(this.#speed) };
  }

  reinstate(arrays: Readonly<Record<string, Float64Array>>): void {
    this.#angle = arrays.angle![0]!;
    this.#speed = arrays.speed![0]!;
  }

  scene(): Scene {
    return {
      view: 'side',
      shapes: [
        { name: 'rod', kind: 'capsule', size: [0.08, length / 2], colour: [0.8, 0.36, 0.28] },
        { name: 'pivot', kind: 'sphere', size: [0.1], colour: [0.3, 0.3, 0.33] },
      ],
      pose: (out) => {
        // Angle 0 is up; the rod turns about y through half the angle of its quaternion.
        const angle = this.#angle;
        const centre = [(length / 2) * Math.sin(angle), 0, (length / 2) * Math.cos(angle)];
        out.set([...centre, Math.cos(angle / 2), 0, Math.sin(angle / 2), 0, 0, 0, 0, 1, 0, 0, 0]);
      },
    };
  }

  dispose(): void {}
}
