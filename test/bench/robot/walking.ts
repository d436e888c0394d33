/**
 * The environment that the robot's policy is trained in: to walk slowly, over a network that delays and fails. In an episode every answer is
 * late by as much, and an action is applied until the next one comes, after 10 to 80 ms: so actions that are tried last, and the
 * policy does not count on a period. Now and then no answer comes: the robot then does as its controller does, which holds, goes to the safe
 * action, and stands for a while. That is within one step, so what a step earns shows whether the robot can be stopped there.
 */

import { createRandom, type Random } from '../../../src/contract/random.ts';
import type { Env } from '../../../src/envs/env.ts';
import { createEnv, type Outcome, type Task } from '../../../src/envs/episode.ts';
import { ageMsMax, controlPeriodMs, createRobot, physicsStepMs, rampMs, safeAction, stands } from './hopper.ts';

const physicsStepCount = controlPeriodMs / physicsStepMs;
/** By how many steps of physics answers are late: one of these an episode. */
const lateStepCounts = [1, 1, 1, 2, 4, 8, 13];
/** For how many periods an action is applied, at most. */
const periodCountMax = 8;
const failureRate = 1 / 100;
const failureMsMax = 2000;
/** Faster earns no more, m/s. */
const speedMax = 0.7;
const fallReward = -20;

class Walking implements Task {
  readonly name = 'Hopper-100Hz-walking';
  readonly episodeStepCountMax = 250;
  /** On average. */
  readonly stepDurationS = ((1 + periodCountMax) / 2) * (controlPeriodMs / 1000);
  readonly tasks = null;
  readonly info = { xPosition: 0, failed: 0 };
  readonly specs: Env['specs'];
  readonly #robot: Env;
  #observation: Float64Array;
  /** Seed of the episode, steps so far, and how late answers are. */
  readonly #course = new Float64Array(3);
  /** The action that is applied. */
  readonly #applied: Float64Array;

  constructor(robot: Env) {
    this.#robot = robot;
    this.specs = robot.specs;
    this.#applied = Float64Array.from(safeAction);
    this.#observation = robot.reset(0).observation;
  }

  begin(random: Random): void {
    const seed = Math.floor(random.uniform() * 2 ** 32);
    const late = lateStepCounts[Math.floor(random.uniform() * lateStepCounts.length)]!;
    this.#course.set([seed, 0, late]);
    const { observation, info } = this.#robot.reset(seed);
    this.#observation = observation;
    this.#applied.set(safeAction);
    this.info.xPosition = info.xPosition!;
    this.info.failed = 0;
  }

  advance(action: Float64Array, outcome: Outcome): boolean {
    const [seed, step, late] = this.#course as unknown as [number, number, number];
    this.#course[1] = step + 1;
    const random = createRandom(seed, 1 + step);
    const periodCount = 1 + Math.floor(periodCountMax * random.uniform());
    const squares = action.reduce((sum, value) => sum + value * value, 0);
    outcome.reward = 0;
    for (let period = 0; period < periodCount && this.#stands(); period++) {
      const before = this.info.xPosition;
      for (let i = 0; i < physicsStepCount; i++) {
        if (period * physicsStepCount + i === late) this.#applied.set(action);
        if (!this.#step(this.#applied)) return false;
      }
      const speed = (1000 * (this.info.xPosition - before)) / controlPeriodMs;
      outcome.reward += 0.25 * (0.5 + 1.5 * Math.min(speed / speedMax, 1) - 0.02 * squares);
    }
    this.info.failed = random.uniform() < failureRate ? 1 : 0;
    if (this.info.failed === 1 && !this.#fail(random)) return false;
    outcome.terminated = !this.#stands();
    if (outcome.terminated) outcome.reward = fallReward;
    return true;
  }

  /** No answers for a while. @returns false if the simulation became unstable */
  #fail(random: Random): boolean {
    const held = this.#applied.slice();
    const lastsMs = ageMsMax + rampMs + failureMsMax * random.uniform() ** 2;
    for (let ms = 0; ms < lastsMs && this.#stands(); ms += physicsStepMs) {
      const share = Math.min(Math.max((ms - ageMsMax) / rampMs, 0), 1);
      if (!this.#step(held.map((value, j) => value + share * (safeAction[j]! - value)))) return false;
    }
    this.#applied.set(safeAction);
    return true;
  }

  #stands(): boolean {
    return stands(this.#observation[0]!, this.#observation[1]!);
  }

  #step(command: ArrayLike<number>): boolean {
    const { observation, info, diverged } = this.#robot.step(command);
    this.#observation = observation;
    this.info.xPosition = info.xPosition!;
    return !diverged;
  }

  observe(out: Float64Array): void {
    out.set(this.#observation);
  }

  capture(): Record<string, Float64Array> {
    const { observation: seen, ...body } = this.#robot.save().arrays;
    return { ...body, seen: seen!, course: this.#course.slice(), applied: this.#applied.slice() };
  }

  reinstate({ course, applied, seen, observation: _, ...body }: Readonly<Record<string, Float64Array>>): void {
    this.#course.set(course!);
    this.#applied.set(applied!);
    const { env, stepCount } = this.#robot.save();
    const arrays = { ...body, observation: seen! };
    this.#observation = this.#robot.restore({ env, stepCount, ended: false, arrays });
  }

  dispose(): void {
    this.#robot.dispose();
  }
}

export default async (): Promise<Env> => createEnv(new Walking(await createRobot()));
