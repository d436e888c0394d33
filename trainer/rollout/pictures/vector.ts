/** Vectors of three numbers, for pictures: small and immutable. */

export type Vector = readonly [x: number, y: number, z: number];

export const add = (a: Vector, b: Vector): Vector => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
export const subtract = (a: Vector, b: Vector): Vector => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
export const scale = (a: Vector, factor: number): Vector => [a[0] * factor, a[1] * factor, a[2] * factor];
export const dot = (a: Vector, b: Vector): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const cross = (a: Vector, b: Vector): Vector => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];
export const length = (a: Vector): number => Math.sqrt(dot(a, a));
export const normalise = (a: Vector): Vector => scale(a, 1 / length(a));

/** Turns a vector by a unit quaternion (w, x, y, z). */
export function rotate([w, x, y, z]: readonly [number, number, number, number], v: Vector): Vector {
  const axis: Vector = [x, y, z];
  const twice = scale(cross(axis, v), 2);
  return add(add(v, scale(twice, w)), cross(axis, twice));
}
