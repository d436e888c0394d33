/** What an environment looks like: simple shapes, and where they are in the current state. Knows nothing of cameras or pixels. */

export type Shape = {
  readonly name: string;
  /** A capsule lies along its z axis; a plane has its normal along z and no end. */
  readonly kind: 'capsule' | 'sphere' | 'box' | 'plane';
  /** Metres. Capsule: radius, half length without caps. Sphere: radius. Box: half sizes. Plane: none. */
  readonly size: readonly number[];
  /** Red, green, blue in [0, 1]. */
  readonly colour: readonly [number, number, number];
};

export type Scene = {
  readonly shapes: readonly Shape[];
  /** Where a picture is best taken from. */
  readonly view: 'side' | 'above';
  /** Writes position (m) and orientation (unit quaternion w, x, y, z) of each shape, [S, 7]. Does not change the state. */
  pose(out: Float64Array): void;
};

/** Numbers that `pose` writes per shape. */
export const poseSize = 7;
