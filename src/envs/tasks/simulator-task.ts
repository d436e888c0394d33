/** What tasks on a simulator share: saved state, picture, and the context in progress. */

import type { Random } from '../../contract/random.ts';
import type { PolicySpecs } from '../../contract/tensor-spec.ts';
import type { StepInfo } from '../env.ts';
import type { Outcome, Task, TaskStateRow } from '../episode.ts';
import type { Scene } from '../scene.ts';
import { captureSimulator, reinstateSimulator, type Simulator, simulatorStateRow } from '../simulator.ts';
import { simulatorScene } from '../simulator-scene.ts';
import type { TaskDistribution } from '../task-distribution.ts';

export abstract class SimulatorTask implements Task {
  abstract readonly name: string;
  abstract readonly specs: PolicySpecs;
  abstract readonly tasks: TaskDistribution | null;
  abstract readonly episodeStepCountMax: number;
  abstract readonly stepDurationS: number;
  abstract readonly info: StepInfo;
  readonly stateRow: TaskStateRow;
  protected readonly simulator: Simulator;
  /** The context in progress; null if the environment poses one task only. */
  protected context: Float64Array | null = null;

  /** It disposes the simulator. */
  constructor(simulator: Simulator) {
    this.simulator = simulator;
    const row = simulatorStateRow(simulator);
    this.stateRow = {
      ...row,
      read: (values, at, context) => {
        this.enter(context);
        row.read(values, at);
      },
    };
  }

  abstract begin(random: Random, context: Float64Array | null): void;
  abstract advance(action: Float64Array, outcome: Outcome): boolean;
  abstract observe(observation: Float64Array): void;

  capture(): Record<string, Float64Array> {
    return captureSimulator(this.simulator);
  }

  reinstate(arrays: Readonly<Record<string, Float64Array>>): void {
    this.enter(arrays.context?.slice() ?? null);
    reinstateSimulator(this.simulator, arrays);
  }

  scene(): Scene {
    return simulatorScene(this.simulator);
  }

  dispose(): void {
    this.simulator.dispose();
  }

  /** Poses the task of a context. */
  protected enter(context: Float64Array | null): void {
    this.context = context;
  }

  /** @returns the sum of the controls' squares */
  protected control(action: Float64Array): number {
    const { ctrl } = this.simulator;
    let squares = 0;
    for (let i = 0; i < action.length; i++) {
      const value = action[i]!;
      ctrl[i] = value;
      squares += value * value;
    }
    return squares;
  }
}
