/** A learner of a few lines: deterministic given its draws, and every input of an update changes it. */

import type { OffPolicyLearner } from '../../../trainer/off-policy/learner.ts';

export function createTinyLearner(observationSize: number, actionSize: number): OffPolicyLearner {
  const weights = new Float32Array(observationSize * actionSize);
  let updateCount = 0;
  const act: OffPolicyLearner['act'] = (observation, out) => {
    for (let a = 0; a < actionSize; a++) {
      let sum = 0;
      for (let o = 0; o < observationSize; o++) sum += weights[a * observationSize + o]! * observation[o]!;
      out[a] = Math.tanh(sum);
    }
  };
  return {
    act,
    explore(observation, random, out) {
      act(observation, out);
      for (let a = 0; a < actionSize; a++) out[a] = Math.max(-1, Math.min(1, out[a]! + 0.1 * random.normal()));
    },
    learn({ size, observation, action, reward, nextObservation, terminated }, random) {
      for (let b = 0; b < size; b++) {
        for (let a = 0; a < actionSize; a++) {
          for (let o = 0; o < observationSize; o++) {
            const at = b * observationSize + o;
            const signal = reward[b]! * action[b * actionSize + a]! * (observation[at]! + nextObservation[at]!);
            weights[a * observationSize + o]! += 1e-4 * (signal * (1 - terminated[b]!) + random.normal());
          }
        }
      }
      updateCount += 1;
      return updateCount % 50 === 0 ? { weight: weights[0]! } : null;
    },
    largestValue: () => Infinity,
    save: () => ({ arrays: { weights }, state: { updateCount } }),
    restore({ arrays, state }) {
      weights.set(arrays.weights!);
      ({ updateCount } = state as { updateCount: number });
    },
    dispose() {},
  };
}
