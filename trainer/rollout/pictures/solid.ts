/** Shapes placed in the world, and where a ray first meets them. */

import { poseSize, type Shape } from '../../../src/envs/scene.ts';
import { add, cross, dot, length, normalise, rotate, scale, subtract, type Vector } from './vector.ts';

/** A placed shape that ends: everything but a plane. */
export type Solid = {
  readonly colour: Vector;
  readonly centre: Vector;
  /** No point is farther from the centre. */
  readonly radius: number;
  /** Distance along the ray to the first meeting, Infinity where there is none. The direction has length 1. */
  meet(origin: Vector, direction: Vector): number;
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
  if (kind === 'sphere') {
    return {
      colour,
      centre,
      radius: first,
      meet: (origin, direction) => meetSphere(subtract(origin, centre), direction, first),
      normalAt: (point) => normalise(subtract(point, centre)),
    };
  }
  if (kind === 'capsule') return capsule(colour, centre, turn([0, 0, 1]), first, size[1]!);
  return box(colour, centre, [turn([1, 0, 0]), turn([0, 1, 0]), turn([0, 0, 1])], size as unknown as Vector);
}

/** A sphere at the origin. */
function meetSphere(origin: Vector, direction: Vector, radius: number): number {
  const half = dot(origin, direction);
  const discriminant = half * half - dot(origin, origin) + radius * radius;
  if (discriminant < 0) return Infinity;
  const distance = -half - Math.sqrt(discriminant);
  return distance > 0 ? distance : Infinity;
}

function capsule(colour: Vector, centre: Vector, axis: Vector, radius: number, half: number): Solid {
  /** How far along the axis the nearest point of its core is. */
  const along = (point: Vector) => Math.min(Math.max(dot(subtract(point, centre), axis), -half), half);
  const ends = [add(centre, scale(axis, half)), add(centre, scale(axis, -half))];
  return {
    colour,
    centre,
    radius: half + radius,
    meet(origin, direction) {
      const from = subtract(origin, centre);
      // The infinite cylinder: both vectors without their part along the axis.
      const across = subtract(direction, scale(axis, dot(direction, axis)));
      const offset = subtract(from, scale(axis, dot(from, axis)));
      const a = dot(across, across);
      const b = dot(across, offset);
      const discriminant = b * b - a * (dot(offset, offset) - radius * radius);
      if (discriminant >= 0 && a > 0) {
        const distance = (-b - Math.sqrt(discriminant)) / a;
        const height = dot(from, axis) + distance * dot(direction, axis);
        if (distance > 0 && Math.abs(height) <= half) return distance;
      }
      return Math.min(...ends.map((end) => meetSphere(subtract(origin, end), direction, radius)));
    },
    normalAt: (point) => normalise(subtract(point, add(centre, scale(axis, along(point))))),
  };
}

function box(colour: Vector, centre: Vector, axes: readonly Vector[], halves: Vector): Solid {
  return {
    colour,
    centre,
    radius: length(halves),
    meet(origin, direction) {
      const from = subtract(origin, centre);
      let near = -Infinity;
      let far = Infinity;
      axes.forEach((axis, k) => {
        const [position, speed] = [dot(from, axis), dot(direction, axis)];
        const [one, other] = [(-halves[k]! - position) / speed, (halves[k]! - position) / speed];
        near = Math.max(near, Math.min(one, other));
        far = Math.min(far, Math.max(one, other));
      });
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
