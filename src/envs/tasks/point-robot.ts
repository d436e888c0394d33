/** A point on a plane that must find a goal on the unit half circle (PEARL's point robot). Trains in seconds, for tests. */

import type { ContextSpec } from '../../contract/tensor-spec.ts';
import type { Env } from '../env.ts';
import { createEnv } from '../episode.ts';
import { type DenseReward, distribution } from '../task-distribution.ts';

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

/**
 * reward = -distance to the goal; sparse: 1 - distance within 0.2 m of the goal, else 0, and -distance is its dense reward. Starts at the
 * origin, moves by the action (clipped to 0.1 m an axis), 20 steps.
 */
export async function createPointRobot(name: 'Point-Robot' | 'Point-Robot-Sparse'): Promise<Env> {
  const sparse = name === 'Point-Robot-Sparse';
  const info = { distance: 0 };
  const family = distribution(
    goalContext,
    { train: range, test: range },
    { train: 100, test: 30 },
    (random, context) => {
      const angle = Math.PI * random.uniform();
      context[0] = Math.cos(angle);
      context[1] = Math.sin(angle);
    },
  );
  const tasks = sparse ? { ...family, denseReward } : family;
  const position = new Float64Array(2);
  let goal = new Float64Array(2);
  return createEnv({
    name,
    specs: {
      observation: { names: ['point.x', 'point.y'], low: [null, null], high: [null, null], units: ['m', 'm'] },
      action: {
        names: ['point.x-step', 'point.y-step'],
        low: [-stepLimit, -stepLimit],
        high: [stepLimit, stepLimit],
        units: ['m', 'm'],
      },
      context: goalContext,
    },
    tasks,
    episodeStepCountMax: 20,
    stepDurationS: 0.1,
    info,

    begin(_, context) {
      goal.set(context!);
      position.fill(0);
      info.distance = Math.hypot(goal[0]!, goal[1]!);
    },

    advance(action, outcome) {
      for (let i = 0; i < 2; i++) position[i]! += Math.min(Math.max(action[i]!, -stepLimit), stepLimit);
      const distance = Math.hypot(position[0]! - goal[0]!, position[1]! - goal[1]!);
      info.distance = distance;
      outcome.reward = sparse ? (distance <= goalRadius ? 1 - distance : 0) : -distance;
      outcome.terminated = false;
      return true;
    },

    observe(out) {
      out.set(position);
    },

    capture: () => ({ position: position.slice() }),
    reinstate(arrays) {
      position.set(arrays.position!);
      goal = arrays.context!.slice();
    },
    scene: () => ({
      view: 'above',
      shapes: [
        { name: 'floor', kind: 'plane', size: [], colour: [0.62, 0.68, 0.72] },
        { name: 'point', kind: 'sphere', size: [0.06], colour: [0.8, 0.36, 0.28] },
        { name: 'goal', kind: 'sphere', size: [0.04], colour: [0.3, 0.62, 0.38] },
      ],
      pose(out) {
        const upright = [1, 0, 0, 0];
        out.set([0, 0, 0, ...upright, position[0]!, position[1]!, 0.06, ...upright]);
        out.set([goal[0]!, goal[1]!, 0.04, ...upright], 14);
      },
    }),
    dispose() {},
  });
}
