/** The scene of a simulated world: its geoms, where the simulator has them. */

import { poseSize, type Scene, type Shape } from './scene.ts';
import type { Simulator } from './simulator.ts';

const kinds: Readonly<Record<number, Shape['kind']>> = { 0: 'plane', 2: 'sphere', 3: 'capsule', 6: 'box' };

/** The geoms of a simulated world. */
export function simulatorScene(simulator: Simulator): Scene {
  const { geoms } = simulator;
  return {
    view: 'side',
    shapes: geoms.map(({ name, type, size, rgba }) => ({
      name,
      kind: kinds[type] ?? 'sphere',
      size: type === 0 ? [] : size.slice(0, { 2: 1, 3: 2 }[type] ?? 3),
      colour: [rgba[0]!, rgba[1]!, rgba[2]!],
    })),
    pose(out) {
      const { positions, matrices } = simulator.geomPoses();
      for (let i = 0; i < geoms.length; i++) {
        for (let k = 0; k < 3; k++) out[i * poseSize + k] = positions[3 * i + k]!;
        quaternionOf(matrices.subarray(9 * i, 9 * i + 9), out, i * poseSize + 3);
      }
    },
  };
}

/** The unit quaternion of a row-major rotation matrix, from the largest of its four parts, as the others are divided by it. */
function quaternionOf(m: Float64Array, out: Float64Array, at: number): void {
  const [m00, m01, m02, m10, m11, m12, m20, m21, m22] = m as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  // Four times the square of w, x, y and z.
  const squares = [1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22];
  const largest = squares.indexOf(Math.max(...squares));
  // Four times the products of the largest part with each part.
  const products = [
    [squares[0]!, m21 - m12, m02 - m20, m10 - m01],
    [m21 - m12, squares[1]!, m10 + m01, m02 + m20],
    [m02 - m20, m10 + m01, squares[2]!, m21 + m12],
    [m10 - m01, m02 + m20, m21 + m12, squares[3]!],
  ][largest]!;
  const scale = 1 / (2 * Math.sqrt(squares[largest]!));
  for (let k = 0; k < 4; k++) out[at + k] = products[k]! * scale;
}
