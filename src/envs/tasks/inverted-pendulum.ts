/** InvertedPendulum-v5: keep a pole upright by moving its cart. Gymnasium's semantics. */

import type { Env } from '../env.ts';
import { createEnv } from '../episode.ts';
import { invertedPendulumModel } from '../models/inverted-pendulum.ts';
import { captureSimulator, openSimulator, reinstateSimulator, simulatorStateRow } from '../simulator.ts';
import { simulatorScene } from '../simulator-scene.ts';
import { motorSpec, observationSpec } from './specs.ts';

const physicsStepCount = 2;
const resetNoise = 0.01;
const angleLimit = 0.2;

/** reward 1 while the pole is within 0.2 rad; 1000 steps of 0.04 s. */
export async function createInvertedPendulum(): Promise<Env> {
  const simulator = await openSimulator(invertedPendulumModel());
  const info = { rewardSurvive: 0 };
  return createEnv({
    name: 'InvertedPendulum-v5',
    specs: {
      observation: observationSpec([
        ['cart.x', 'm'],
        ['pole.angle', 'rad'],
        ['cart.x-velocity', 'm/s'],
        ['pole.velocity', 'rad/s'],
      ]),
      action: motorSpec(['cart'], 3),
      context: null,
    },
    tasks: null,
    episodeStepCountMax: 1000,
    stepDurationS: physicsStepCount * 0.02,
    info,

    begin(random) {
      simulator.refresh();
      simulator.rewind();
      const { qpos, qvel } = simulator;
      for (let i = 0; i < 2; i++) qpos[i]! += resetNoise * (2 * random.uniform() - 1);
      for (let i = 0; i < 2; i++) qvel[i]! += resetNoise * (2 * random.uniform() - 1);
      simulator.forward();
      info.rewardSurvive = 0;
    },

    advance(action, outcome) {
      simulator.refresh();
      simulator.ctrl[0] = action[0]!;
      if (!simulator.advance(physicsStepCount)) return false;
      outcome.terminated = Math.abs(simulator.qpos[1]!) > angleLimit;
      outcome.reward = info.rewardSurvive = outcome.terminated ? 0 : 1;
      return true;
    },

    observe(out) {
      out.set(simulator.qpos, 0);
      out.set(simulator.qvel, 2);
    },

    capture: () => captureSimulator(simulator),
    reinstate: (arrays) => reinstateSimulator(simulator, arrays),
    stateRow: simulatorStateRow(simulator),
    scene: () => simulatorScene(simulator),
    dispose: () => simulator.dispose(),
  });
}
