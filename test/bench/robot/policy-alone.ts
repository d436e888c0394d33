/**
 * What the robot's policy is worth by itself: every observation is answered at once and nothing is wrong, so that each fall is the policy's own.
 * In simulated time: the physics wait for the answer.
 */

import type { ActStream } from '../../../clients/typescript/index.ts';
import { controlPeriodMs, createRobot, observationPeriodMs, physicsStepMs, stands } from './hopper.ts';

/** @returns how often it falls in that time; it is set up again at once */
export async function fallsAlone(stream: Pick<ActStream, 'act'>, seconds: number): Promise<number> {
  const robot = await createRobot();
  let seed = 0;
  let fallCount = 0;
  let observation = robot.reset(seed).observation;
  let seen = Float32Array.from(observation);
  for (let cycle = 0; cycle < (1000 * seconds) / controlPeriodMs; cycle++) {
    if ((cycle * controlPeriodMs) % observationPeriodMs === 0) seen = Float32Array.from(observation);
    const { action } = await stream.act({ observation: seen }, { timeoutMs: 30_000 });
    for (let step = 0; step < controlPeriodMs / physicsStepMs; step++) {
      observation = robot.step(action.values).observation;
    }
    if (stands(observation[0]!, observation[1]!)) continue;
    fallCount++;
    observation = robot.reset(++seed).observation;
  }
  robot.dispose();
  return fallCount;
}
