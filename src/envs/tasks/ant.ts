/**
 * Ant: run along x without falling or jumping, and the meta-RL variants with a goal. Gymnasium's semantics unless a variant
 * says otherwise.
 *
 * Reference: velocity is measured from the torso's frame, which lags the coordinates by one physics step (Gymnasium,
 * ant_v5.py); kept, and part of the saved state.
 */

import type { Random } from '../../contract/random.ts';
import type { PolicySpecs, TensorSpec } from '../../contract/tensor-spec.ts';
import type { Env } from '../env.ts';
import { createEnv, type Outcome } from '../episode.ts';
import { antBodies, antJoints, antModel, antMotors } from '../models/ant.ts';
import { openSimulator, type Simulator } from '../simulator.ts';
import { directionTasks, type TaskDistribution, uniformTasks } from '../task-distribution.ts';
import { SimulatorTask } from './simulator-task.ts';
import { directionContext, motorSpec, observationSpec, velocityContext } from './specs.ts';

type Ant = {
  readonly name: string;
  readonly episodeStepCountMax: number;
  /** Bodies whose contact forces are observed: none, all but the world, or all. */
  readonly observedForces: 'none' | 'bodies' | 'all';
  readonly controlCostWeight: number;
  readonly contactCostWeight: number;
  readonly healthyReward: number;
  /** Pays the healthy reward in the last step too. */
  readonly paysUnhealthyStep: boolean;
  readonly tasks?: TaskDistribution;
  /** In place of the velocity along x. */
  readonly forwardReward?: (xVelocity: number, yVelocity: number, context: Float64Array) => number;
};

const physicsStepCount = 5;
const stepDurationS = physicsStepCount * 0.01;
const resetNoise = 0.1;
const contactForceLimit = 1;
/** Values per body: torque, then force. */
const forceSize = 6;

const clipForce = (force: number): number => Math.min(Math.max(force, -contactForceLimit), contactForceLimit);

function observationOf(observed: Ant['observedForces']): TensorSpec {
  const motion = observationSpec([
    ['torso.z', 'm'],
    ...['w', 'x', 'y', 'z'].map((part) => [`torso.orientation-${part}`, '1'] as const),
    ...antJoints.map((joint) => [`${joint}.angle`, 'rad'] as const),
    ...['x', 'y', 'z'].map((axis) => [`torso.${axis}-velocity`, 'm/s'] as const),
    ...['x', 'y', 'z'].map((axis) => [`torso.${axis}-angular-velocity`, 'rad/s'] as const),
    ...antJoints.map((joint) => [`${joint}.velocity`, 'rad/s'] as const),
  ]);
  const bodies = observed === 'none' ? [] : observed === 'bodies' ? antBodies : ['world', ...antBodies];
  const forces = observationSpec(
    bodies.flatMap((body) =>
      ['torque', 'force'].flatMap((kind) =>
        ['x', 'y', 'z'].map((axis) => [`${body}.contact-${kind}-${axis}`, kind === 'force' ? 'N' : 'N m'] as const),
      ),
    ),
  );
  return {
    names: [...motion.names, ...forces.names],
    low: [...motion.low, ...forces.low.map(() => -contactForceLimit)],
    high: [...motion.high, ...forces.high.map(() => contactForceLimit)],
    units: [...motion.units, ...forces.units],
  };
}

const createAntVariant = async (ant: Ant): Promise<Env> => createEnv(new AntTask(ant, await openSimulator(antModel())));

class AntTask extends SimulatorTask {
  readonly name: string;
  readonly specs: PolicySpecs;
  readonly tasks: TaskDistribution | null;
  readonly episodeStepCountMax: number;
  readonly stepDurationS = stepDurationS;
  readonly info = {
    xPosition: 0,
    yPosition: 0,
    distanceFromOrigin: 0,
    xVelocity: 0,
    yVelocity: 0,
    rewardForward: 0,
    rewardControl: 0,
    rewardContact: 0,
    rewardSurvive: 0,
  };
  readonly #ant: Ant;
  readonly #usesForces: boolean;
  readonly #firstForce: number;

  constructor(ant: Ant, simulator: Simulator) {
    super(simulator);
    this.name = ant.name;
    this.specs = {
      observation: observationOf(ant.observedForces),
      action: motorSpec(antMotors),
      context: ant.tasks?.spec ?? null,
    };
    this.tasks = ant.tasks ?? null;
    this.episodeStepCountMax = ant.episodeStepCountMax;
    this.#ant = ant;
    this.#usesForces = ant.observedForces !== 'none' || ant.contactCostWeight > 0;
    this.#firstForce = ant.observedForces === 'bodies' ? forceSize : 0;
  }

  begin(random: Random, context: Float64Array | null): void {
    const { simulator, info } = this;
    simulator.refresh();
    this.enter(context);
    simulator.rewind();
    const { qpos, qvel } = simulator;
    for (let i = 0; i < qpos.length; i++) qpos[i]! += resetNoise * (2 * random.uniform() - 1);
    for (let i = 0; i < qvel.length; i++) qvel[i]! += resetNoise * random.normal();
    simulator.forward();
    info.xPosition = qpos[0]!;
    info.yPosition = qpos[1]!;
    info.distanceFromOrigin = Math.hypot(qpos[0]!, qpos[1]!);
    info.xVelocity = info.yVelocity = 0;
    info.rewardForward = info.rewardControl = info.rewardContact = info.rewardSurvive = 0;
  }

  advance(action: Float64Array, outcome: Outcome): boolean {
    const { simulator, info } = this;
    const { controlCostWeight, contactCostWeight, forwardReward, paysUnhealthyStep, healthyReward } = this.#ant;
    simulator.refresh();
    const { qpos, xpos } = simulator;
    // Body 0 is the world, body 1 the torso.
    const xBefore = xpos[3]!;
    const yBefore = xpos[4]!;
    const squares = this.control(action);
    if (!simulator.advance(physicsStepCount)) return false;
    if (this.#usesForces) simulator.computeContactForces();
    const xVelocity = (xpos[3]! - xBefore) / stepDurationS;
    const yVelocity = (xpos[4]! - yBefore) / stepDurationS;
    const alive = qpos[2]! >= 0.2 && qpos[2]! <= 1;
    info.xPosition = qpos[0]!;
    info.yPosition = qpos[1]!;
    info.distanceFromOrigin = Math.hypot(qpos[0]!, qpos[1]!);
    info.xVelocity = xVelocity;
    info.yVelocity = yVelocity;
    info.rewardForward = forwardReward === undefined ? xVelocity : forwardReward(xVelocity, yVelocity, this.context!);
    info.rewardControl = -controlCostWeight * squares;
    info.rewardContact = contactCostWeight > 0 ? -contactCostWeight * this.#contactSquares() : 0;
    info.rewardSurvive = alive || paysUnhealthyStep ? healthyReward : 0;
    outcome.reward = info.rewardForward + info.rewardSurvive + info.rewardControl + info.rewardContact;
    outcome.terminated = !alive;
    return true;
  }

  observe(out: Float64Array): void {
    const { qpos, qvel, cfrcExt } = this.simulator;
    let at = 0;
    for (let i = 2; i < qpos.length; i++) out[at++] = qpos[i]!;
    for (let i = 0; i < qvel.length; i++) out[at++] = qvel[i]!;
    for (let i = this.#firstForce; at < out.length; i++) out[at++] = clipForce(cfrcExt[i]!);
  }

  #contactSquares(): number {
    const { cfrcExt } = this.simulator;
    let squares = 0;
    for (let i = 0; i < cfrcExt.length; i++) {
      const force = clipForce(cfrcExt[i]!);
      squares += force * force;
    }
    return squares;
  }
}

const gymnasium = {
  episodeStepCountMax: 1000,
  controlCostWeight: 0.5,
  contactCostWeight: 5e-4,
  healthyReward: 1,
} as const;

/** reward = v_x + 1 - 0.5 |a|^2 - 5e-4 |contact|^2; 105 observations; 1000 steps of 0.05 s. */
export const createAnt = (): Promise<Env> =>
  createAntVariant({ ...gymnasium, name: 'Ant-v5', observedForces: 'bodies', paysUnhealthyStep: false });

/** Without contact forces in observation (27 values) and reward. */
export const createAntV4 = (): Promise<Env> =>
  createAntVariant({
    ...gymnasium,
    name: 'Ant-v4',
    observedForces: 'none',
    contactCostWeight: 0,
    paysUnhealthyStep: true,
  });

/** The single-task Ant of HypeRL (ant.py): no control cost, 111 observations with the world's contact forces (zeros). */
export const createAntHyperl = (): Promise<Env> =>
  createAntVariant({
    ...gymnasium,
    name: 'ant-hyperl',
    observedForces: 'all',
    controlCostWeight: 0,
    paysUnhealthyStep: true,
  });

const meta = {
  episodeStepCountMax: 200,
  observedForces: 'none',
  controlCostWeight: 0.005,
  contactCostWeight: 5e-4,
  healthyReward: 0.05,
  paysUnhealthyStep: true,
} as const;

/** reward = velocity along the goal's heading + 0.05 - 0.005 |a|^2 - 5e-4 |contact|^2; 27 observations, 200 steps. */
const headingAnt = (name: string, headingOf: (direction: number) => number): Promise<Env> =>
  createAntVariant({
    ...meta,
    name,
    tasks: directionTasks(directionContext),
    forwardReward: (xVelocity, yVelocity, task) => {
      const heading = headingOf(task[0]!);
      return xVelocity * Math.cos(heading) + yVelocity * Math.sin(heading);
    },
  });

/** Headings 0 and pi. */
export const createAntFwdBack = (): Promise<Env> =>
  headingAnt('Ant-Fwd-Back', (direction) => (direction > 0 ? 0 : Math.PI));

/** Reference: the direction is taken as radians, so "backward" is 57 degrees to the right (HypeRL, ant.py). */
export const createAntFwdBackHyperl = (): Promise<Env> => headingAnt('ant-fwd-back-hyperl', (direction) => direction);

/** reward = 1 - |v_x - v*| + 0.05 - 0.005 |a|^2 - 5e-4 |contact|^2, v* in [0, 3] m/s. */
export const createAntVel = (): Promise<Env> =>
  createAntVariant({
    ...meta,
    name: 'Ant-Vel',
    tasks: uniformTasks({ spec: velocityContext, train: [[0, 3]] }),
    forwardReward: (xVelocity, _, task) => 1 - Math.abs(xVelocity - task[0]!),
  });
