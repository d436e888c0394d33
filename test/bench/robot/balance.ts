/**
 * What the robot's drives do by themselves: it stands still. A linear feedback about a pose with nearly straight legs and the weight above the middle of the foot,
 * from the linear-quadratic regulator of the simulated robot at 100 Hz: next state by finite differences, weights of the state
 * 10 50 10 10 10 / 5 0.5 1 0.2 0.2 0.2, of each action 10. From this pose it brings the robot to rest from -1 to 1.1 m/s, at 100 Hz and 20 ms late too.
 */

/** Height, pitch, thigh, leg, foot; the velocities of the pose are 0. */
const pose = [1.201, 0.006, -0.05, -0.099, 0.154];
const torques = [0, -0.007, -0.042];
/** Of each action by the 11 values of the observation. */
const gains = [
  [-0.02, 1.64, 0.13, -0.48, -0.27, 0.13, 0, 0.08, 0.18, 0.02, 0],
  [-0.12, 1.13, -0.67, 0.5, -0.07, 0.37, -0.01, 0.02, 0.01, 0.14, -0.01],
  [-0.73, 0.74, -0.8, -0.65, 0.61, 0.62, -0.08, -0.12, 0.06, -0.01, 0.1],
];

/** @returns the action to an observation, [3] */
export function balance(observation: ArrayLike<number>): Float32Array {
  return Float32Array.from(gains, (row, i) => {
    const sum = row.reduce((total, gain, j) => total + gain * (observation[j]! - (pose[j] ?? 0)), 0);
    return Math.min(Math.max(torques[i]! - sum, -1), 1);
  });
}
