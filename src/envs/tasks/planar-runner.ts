/**
 * What the planar runners share (HalfCheetah, Hopper, Walker2d and their meta-RL variants): coordinates rootx, rootz, rooty
 * and one hinge per motor. Reward = forward reward + healthy reward - control cost; Gymnasium's semantics unless a runner
 * says otherwise.
 */

import type { Random } from '../../contract/random.ts';
import type { PolicySpecs } from '../../contract/tensor-spec.ts';
import type { Env } from '../env.ts';
import { createEnv, type Outcome } from '../episode.ts';
import { openSimulator, type Simulator } from '../simulator.ts';
import type { TaskDistribution } from '../task-distribution.ts';
import { SimulatorTask } from './simulator-task.ts';
import { motorSpec, observationSpec } from './specs.ts';

export type PlanarRunner = {
  readonly name: string;
  /** MJCF. */
  readonly model: string;
  /** Hinges, in the order of coordinates and motors. */
  readonly joints: readonly string[];
  readonly physicsStepS: number;
  readonly physicsStepCount: number;
  readonly episodeStepCountMax: number;
  readonly controlCostWeight: number;
  /** One draw of reset noise on a position and on a velocity. */
  readonly noise: { position(random: Random): number; velocity(random: Random): number };
  /** Observed velocities are clipped to +-this. */
  readonly velocityLimit?: number;
  /** Ends the episode where false; pays 1 per step where given. */
  readonly healthy?: (qpos: Float64Array, qvel: Float64Array) => boolean;
  /** Pays the healthy reward in the last step too (Gymnasium v4). */
  readonly paysUnhealthyStep?: boolean;
  /** The family of tasks, for meta-RL. */
  readonly tasks?: TaskDistribution;
  /** In place of the forward velocity in m/s. */
  readonly forwardReward?: (xVelocity: number, context: Float64Array) => number;
  /** Appends the torso's position, [3], in m. It is that at the last physics step's start. */
  readonly observesTorso?: boolean;
  /** Changes the simulator's model at reset; it then has a model of its own. */
  readonly applyContext?: (simulator: Simulator, context: Float64Array) => void;
};

type RunnerInfo = {
  xPosition: number;
  xVelocity: number;
  rewardForward: number;
  rewardControl: number;
  /** Only where the runner can fall. */
  rewardSurvive?: number;
  /** Of the torso, from the reference pose, m; only where the runner can fall. */
  zDistanceFromOrigin?: number;
};

/** Uniform in [-scale, scale]. */
export const uniformNoise =
  (scale: number) =>
  (random: Random): number =>
    scale * (2 * random.uniform() - 1);

/** Normal with standard deviation `scale`. */
export const normalNoise =
  (scale: number) =>
  (random: Random): number =>
    scale * random.normal();

/** All coordinates but x, all velocities, and the torso where asked for. */
function observationOf({ joints, velocityLimit, observesTorso = false }: PlanarRunner) {
  const spec = observationSpec([
    ['torso.z', 'm'],
    ['torso.pitch', 'rad'],
    ...joints.map((joint) => [`${joint}.angle`, 'rad'] as const),
    ['torso.x-velocity', 'm/s'],
    ['torso.z-velocity', 'm/s'],
    ['torso.pitch-velocity', 'rad/s'],
    ...joints.map((joint) => [`${joint}.velocity`, 'rad/s'] as const),
    ...(observesTorso ? ['x', 'y', 'z'].map((axis) => [`torso.position-${axis}`, 'm'] as const) : []),
  ]);
  if (velocityLimit === undefined) return spec;
  const first = 2 + joints.length;
  const bound = (sign: number) => spec.names.map((_, i) => (i < first ? null : sign * velocityLimit));
  return { ...spec, low: bound(-1), high: bound(1) };
}

/** Creates the environment of a runner. */
export const createPlanarRunner = async (runner: PlanarRunner): Promise<Env> =>
  createEnv(new RunnerTask(runner, await openSimulator(runner.model, { ownModel: runner.applyContext !== undefined })));

class RunnerTask extends SimulatorTask {
  readonly name: string;
  readonly specs: PolicySpecs;
  readonly tasks: TaskDistribution | null;
  readonly episodeStepCountMax: number;
  readonly stepDurationS: number;
  readonly info: RunnerInfo = { xPosition: 0, xVelocity: 0, rewardForward: 0, rewardControl: 0 };
  readonly #runner: PlanarRunner;
  readonly #velocityLimit: number;
  readonly #referenceZ: number;
  /** The context that the model's fields are of. */
  #applied: Float64Array | undefined;

  constructor(runner: PlanarRunner, simulator: Simulator) {
    super(simulator);
    this.name = runner.name;
    this.specs = {
      observation: observationOf(runner),
      action: motorSpec(runner.joints),
      context: runner.tasks?.spec ?? null,
    };
    this.tasks = runner.tasks ?? null;
    this.episodeStepCountMax = runner.episodeStepCountMax;
    this.stepDurationS = runner.physicsStepCount * runner.physicsStepS;
    this.#runner = runner;
    this.#velocityLimit = runner.velocityLimit ?? Infinity;
    this.#referenceZ = simulator.model.qpos0[1] as number;
    if (runner.healthy !== undefined) Object.assign(this.info, { rewardSurvive: 0, zDistanceFromOrigin: 0 });
  }

  begin(random: Random, context: Float64Array | null): void {
    const { simulator, info } = this;
    const { noise, healthy } = this.#runner;
    simulator.refresh();
    this.enter(context);
    simulator.rewind();
    const { qpos, qvel } = simulator;
    for (let i = 0; i < qpos.length; i++) qpos[i]! += noise.position(random);
    for (let i = 0; i < qvel.length; i++) qvel[i]! += noise.velocity(random);
    simulator.forward();
    info.xPosition = qpos[0]!;
    info.xVelocity = info.rewardForward = info.rewardControl = 0;
    if (healthy !== undefined) {
      info.rewardSurvive = 0;
      info.zDistanceFromOrigin = qpos[1]! - this.#referenceZ;
    }
  }

  advance(action: Float64Array, outcome: Outcome): boolean {
    const { simulator, info } = this;
    const { physicsStepCount, controlCostWeight, healthy, forwardReward, paysUnhealthyStep } = this.#runner;
    simulator.refresh();
    const { qpos, qvel } = simulator;
    const xBefore = qpos[0]!;
    const squares = this.control(action);
    if (!simulator.advance(physicsStepCount)) return false;
    const x = qpos[0]!;
    const xVelocity = (x - xBefore) / this.stepDurationS;
    const alive = healthy === undefined || healthy(qpos, qvel);
    info.xPosition = x;
    info.xVelocity = xVelocity;
    info.rewardForward = forwardReward === undefined ? xVelocity : forwardReward(xVelocity, this.context!);
    info.rewardControl = -controlCostWeight * squares;
    const survive = healthy !== undefined && (alive || paysUnhealthyStep === true) ? 1 : 0;
    if (healthy !== undefined) {
      info.rewardSurvive = survive;
      info.zDistanceFromOrigin = qpos[1]! - this.#referenceZ;
    }
    outcome.reward = info.rewardForward + survive + info.rewardControl;
    outcome.terminated = !alive;
    return true;
  }

  observe(out: Float64Array): void {
    const { qpos, qvel, xpos } = this.simulator;
    const limit = this.#velocityLimit;
    let at = 0;
    for (let i = 1; i < qpos.length; i++) out[at++] = qpos[i]!;
    for (let i = 0; i < qvel.length; i++) out[at++] = Math.min(Math.max(qvel[i]!, -limit), limit);
    // Body 0 is the world, body 1 the torso.
    for (let i = 3; at < out.length; i++) out[at++] = xpos[i]!;
  }

  protected override enter(context: Float64Array | null): void {
    super.enter(context);
    const { applyContext } = this.#runner;
    if (applyContext === undefined || this.#applied?.every((value, i) => value === context![i])) return;
    applyContext(this.simulator, context!);
    this.#applied = context!.slice();
  }
}
