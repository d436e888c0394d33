/** Shapes placed in the world, and where a ray first meets them. */

import { poseSize, type Shape } from '../../../src/envs/scene.ts';
import { add, cross, dot, length, normalise, rotate, scale, subtract, type Vector } from './vector.ts';

/** A placed shape that ends: everything but a plane. */
export type Solid = {
  readonly colour: Vector;
  readonly centre: Vector;
  /** No point is farther from the centre. */
  readonly radius: number;
  /**
   * Distance along a ray to the first meeting, Infinity if there is none. Six numbers, as it is asked for every sample.
   * @param ox,oy,oz where the ray begins
   * @param dx,dy,dz its direction, of length 1
   */
  distance(ox: number, oy: number, oz: number, dx: number, dy: number, dz: number): number;
  /** Outward normal at a point of the surface. */
  normalAt(point: Vector): Vector;
};

/** Places the shapes of a pose [S, 7]; planes are left out. */
export function placeSolids(shapes: readonly Shape[], pose: Float64Array): Solid[] {
  return shapes.flatMap((shape, i) => {
    if (shape.kind === 'plane') return [];
    const [x, y, z, ...quaternion] = pose.subarray(i * poseSize, (i + 1) * poseSize);
    const turn = (axis: Vector) => rotate(quaternion as unknown as [number, number, number, number], axis);
    return [placeSolid(shape, [x!, y!, z!], turn)];
  });
}

function placeSolid({ kind, size, colour }: Shape, centre: Vector, turn: (axis: Vector) => Vector): Solid {
  const first = size[0]!;
  if (kind === 'sphere') return sphere(colour, centre, first);
  if (kind === 'capsule') return capsule(colour, centre, turn([0, 0, 1]), first, size[1]!);
  return box(colour, centre, [turn([1, 0, 0]), turn([0, 1, 0]), turn([0, 0, 1])], size as unknown as Vector);
}

function sphere(colour: Vector, centre: Vector, radius: number): Solid {
  const [cx, cy, cz] = centre;
  return {
    colour,
    centre,
    radius,
    distance(ox, oy, oz, dx, dy, dz) {
      const [x, y, z] = [ox - cx, oy - cy, oz - cz];
      return meetBall(x * dx + y * dy + z * dz, x * x + y * y + z * z, radius);
    },
    normalAt: (point) => normalise(subtract(point, centre)),
  };
}

/**
 * Distance along a ray to a ball at the origin.
 * @param along part of the ray's origin along its direction
 * @param square of the distance of the ray's origin
 */
function meetBall(along: number, square: number, radius: number): number {
  const discriminant = along * along - square + radius * radius;
  if (discriminant < 0) return Infinity;
  const distance = -along - Math.sqrt(discriminant);
  return distance > 0 ? distance : Infinity;
}

function capsule(colour: Vector, centre: Vector, axis: Vector, radius: number, half: number): Solid {
  const [cx, cy, cz] = centre;
  const [ax, ay, az] = axis;
  return {
    colour,
    centre,
    radius: half + radius,
    distance(ox, oy, oz, dx, dy, dz) {
      const [x, y, z] = [ox - cx, oy - cy, oz - cz];
      const along = x * dx + y * dy + z * dz;
      const square = x * x + y * y + z * z;
      const [height, rise] = [x * ax + y * ay + z * az, dx * ax + dy * ay + dz * az];
      // The infinite cylinder: both vectors without their part along the axis.
      const a = 1 - rise * rise;
      const b = along - height * rise;
      if (a > 1e-12) {
        const discriminant = b * b - a * (square - height * height - radius * radius);
        // Both caps are inside the cylinder.
        if (discriminant < 0) return Infinity;
        const distance = (-b - Math.sqrt(discriminant)) / a;
        if (distance > 0 && Math.abs(height + distance * rise) <= half) return distance;
      }
      const offset = 2 * half * height;
      const far = square + half * half;
      const upper = meetBall(along - half * rise, far - offset, radius);
      return Math.min(upper, meetBall(along + half * rise, far + offset, radius));
    },
    normalAt(point) {
      // The nearest point of the core.
      const along = Math.min(Math.max(dot(subtract(point, centre), axis), -half), half);
      return normalise(subtract(point, add(centre, scale(axis, along))));
    },
  };
}

function box(colour: Vector, centre: Vector, axes: readonly Vector[], halves: Vector): Solid {
  const [cx, cy, cz] = centre;
  return {
    colour,
    centre,
    radius: length(halves),
    distance(ox, oy, oz, dx, dy, dz) {
      const [x, y, z] = [ox - cx, oy - cy, oz - cz];
      let near = -Infinity;
      let far = Infinity;
      for (let k = 0; k < 3; k++) {
        const [ax, ay, az] = axes[k]!;
        const [position, speed] = [x * ax + y * ay + z * az, dx * ax + dy * ay + dz * az];
        const [one, other] = [(-halves[k]! - position) / speed, (halves[k]! - position) / speed];
        near = Math.max(near, Math.min(one, other));
        far = Math.min(far, Math.max(one, other));
      }
      return near > 0 && near <= far ? near : Infinity;
    },
    normalAt(point) {
      const parts = axes.map((axis, k) => dot(subtract(point, centre), axis) / halves[k]!);
      const k = parts.reduce((best, part, i) => (Math.abs(part) > Math.abs(parts[best]!) ? i : best), 0);
      return scale(axes[k]!, Math.sign(parts[k]!));
    },
  };
}

/** A camera that looks at a point: where it is, and the directions of its picture's axes. */
export type Camera = { readonly eye: Vector; readonly forward: Vector; readonly right: Vector; readonly up: Vector };

/** @param from direction from the target to the eye */
export function lookAt(target: Vector, from: Vector, distance: number): Camera {
  const back = normalise(from);
  // Straight from above there is no horizon; y is up in the picture then.
  const upright: Vector = Math.abs(back[2]) > 0.99 ? [0, 1, 0] : [0, 0, 1];
  const right = normalise(cross(upright, back));
  return { eye: add(target, scale(back, distance)), forward: scale(back, -1), right, up: cross(back, right) };
}
