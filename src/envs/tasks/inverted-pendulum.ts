/** InvertedPendulum-v5: keep a pole upright by moving its cart. Gymnasium's semantics. */

import type { Random } from '../../contract/random.ts';
import type { Env } from '../env.ts';
import { createEnv, type Outcome } from '../episode.ts';
import { invertedPendulumModel } from '../models/inverted-pendulum.ts';
import { openSimulator } from '../simulator.ts';
import { SimulatorTask } from './simulator-task.ts';
import { motorSpec, observationSpec } from './specs.ts';

const physicsStepCount = 2;
const resetNoise = 0.01;
const angleLimit = 0.2;

/** reward 1 while the pole is within 0.2 rad; 1000 steps of 0.04 s. */
export const createInvertedPendulum = async (): Promise<Env> =>
  createEnv(new InvertedPendulum(await openSimulator(invertedPendulumModel())));

class InvertedPendulum extends SimulatorTask {
  readonly name = 'InvertedPendulum-v5';
  readonly specs = {
    observation: observationSpec([
      ['cart.x', 'm'],
      ['pole.angle', 'rad'],
      ['cart.x-velocity', 'm/s'],
      ['pole.velocity', 'rad/s'],
    ]),
    action: motorSpec(['cart'], 3),
    context: null,
  };
  readonly tasks = null;
  readonly episodeStepCountMax = 1000;
  readonly stepDurationS = physicsStepCount * 0.02;
  readonly info = { rewardSurvive: 0 };

  begin(random: Random): void {
    const { simulator } = this;
    simulator.refresh();
    simulator.rewind();
    const { qpos, qvel } = simulator;
    for (let i = 0; i < 2; i++) qpos[i]! += resetNoise * (2 * random.uniform() - 1);
    for (let i = 0; i < 2; i++) qvel[i]! += resetNoise * (2 * random.uniform() - 1);
    simulator.forward();
    this.info.rewardSurvive = 0;
  }

  advance(action: Float64Array, outcome: Outcome): boolean {
    const { simulator } = this;
    simulator.refresh();
    simulator.ctrl[0] = action[0]!;
    if (!simulator.advance(physicsStepCount)) return false;
    outcome.terminated = Math.abs(simulator.qpos[1]!) > angleLimit;
    outcome.reward = this.info.rewardSurvive = outcome.terminated ? 0 : 1;
    return true;
  }

  observe(out: Float64Array): void {
    out.set(this.simulator.qpos, 0);
    out.set(this.simulator.qvel, 2);
  }
}
