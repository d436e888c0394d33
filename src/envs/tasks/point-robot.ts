/** A point on a plane that must find a goal on the unit half circle (PEARL's point robot). Trains in seconds, for tests. */

import type { Random } from '../../contract/random.ts';
import type { ContextSpec, PolicySpecs } from '../../contract/tensor-spec.ts';
import type { Env } from '../env.ts';
import { createEnv, type Outcome, type Task } from '../episode.ts';
import type { Scene } from '../scene.ts';
import { type DenseReward, distribution, type TaskDistribution } from '../task-distribution.ts';

const stepLimit = 0.1;
const goalRadius = 0.2;

const goalContext: ContextSpec = {
  names: ['goal.x', 'goal.y'],
  low: [-1, 0],
  high: [1, 1],
  units: ['m', 'm'],
  source: 'oracle',
};

const range = [
  [-1, 1],
  [0, 1],
] as const;

/** As in PEARL's released code, which trains the sparse task with it. Source: Rakelly et al. 2019, released code. */
const denseReward: DenseReward = (goal, position) => -Math.hypot(position[0]! - goal[0]!, position[1]! - goal[1]!);

const goals = distribution(goalContext, { train: range, test: range }, { train: 100, test: 30 }, (random, context) => {
  const angle = Math.PI * random.uniform();
  context[0] = Math.cos(angle);
  context[1] = Math.sin(angle);
});

const specs: PolicySpecs = {
  observation: { names: ['point.x', 'point.y'], low: [null, null], high: [null, null], units: ['m', 'm'] },
  action: {
    names: ['point.x-step', 'point.y-step'],
    low: [-stepLimit, -stepLimit],
    high: [stepLimit, stepLimit],
    units: ['m', 'm'],
  },
  context: goalContext,
};

type PointRobotName = 'Point-Robot' | 'Point-Robot-Sparse';

/**
 * reward = -distance to the goal; sparse: 1 - distance within 0.2 m of the goal, else 0, and -distance is its dense reward. Starts at the
 * origin, moves by the action (clipped to 0.1 m an axis), 20 steps.
 */
export const createPointRobot = async (name: PointRobotName): Promise<Env> => createEnv(new PointRobot(name));

class PointRobot implements Task {
  readonly name: PointRobotName;
  readonly specs = specs;
  readonly tasks: TaskDistribution;
  readonly episodeStepCountMax = 20;
  readonly stepDurationS = 0.1;
  readonly info = { distance: 0 };
  readonly #isSparse: boolean;
  readonly #position = new Float64Array(2);
  #goal = new Float64Array(2);

  constructor(name: PointRobotName) {
    this.name = name;
    this.#isSparse = name === 'Point-Robot-Sparse';
    this.tasks = this.#isSparse ? { ...goals, denseReward } : goals;
  }

  begin(_: Random, context: Float64Array | null): void {
    this.#goal.set(context!);
    this.#position.fill(0);
    this.info.distance = Math.hypot(this.#goal[0]!, this.#goal[1]!);
  }

  advance(action: Float64Array, outcome: Outcome): boolean {
    const position = this.#position;
    for (let i = 0; i < 2; i++) position[i]! += Math.min(Math.max(action[i]!, -stepLimit), stepLimit);
    const distance = Math.hypot(position[0]! - this.#goal[0]!, position[1]! - this.#goal[1]!);
    this.info.distance = distance;
    outcome.reward = this.#isSparse ? (distance <= goalRadius ? 1 - distance : 0) : -distance;
    outcome.terminated = false;
    return true;
  }

  observe(out: Float64Array): void {
    out.set(this.#position);
  }

  capture(): Record<string, Float64Array> {
    return { position: this.#position.slice() };
  }

  reinstate(arrays: Readonly<Record<string, Float64Array>>): void {
    this.#position.set(arrays.position!);
    this.#goal = arrays.context!.slice();
  }

  scene(): Scene {
    return {
      view: 'above',
      shapes: [
        { name: 'floor', kind: 'plane', size: [], colour: [0.62, 0.68, 0.72] },
        { name: 'point', kind: 'sphere', size: [0.1], colour: [0.8, 0.36, 0.28] },
        { name: 'goal', kind: 'sphere', size: [0.08], colour: [0.3, 0.62, 0.38] },
      ],
      pose: (out) => {
        const upright = [1, 0, 0, 0];
        out.set([0, 0, 0, ...upright, this.#position[0]!, this.#position[1]!, 0.1, ...upright]);
        out.set([this.#goal[0]!, this.#goal[1]!, 0.08, ...upright], 14);
      },
    };
  }

  dispose(): void {}
}
