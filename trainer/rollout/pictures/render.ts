/**
 * Draws shapes on a floor by casting a ray per sample: diffuse light from above, shadows on the floor, a checked floor. For
 * small pictures without a display; a frame of 320 x 240 takes about 20 ms.
 */

import type { Shape } from '../../../src/envs/scene.ts';
import { type Camera, placeSolids, type Solid } from './solid.ts';
import { add, dot, normalise, scale, subtract, type Vector } from './vector.ts';

/** Rows from the top, RGB, 8 bits each. */
export type Picture = { readonly width: number; readonly height: number; readonly pixels: Uint8Array };

/** Samples per pixel along each axis. */
const samples = 2;
/** Half the picture's height at distance 1 from the eye. */
const halfHeight = Math.tan((45 / 2) * (Math.PI / 180));
const sun: Vector = normalise([0.35, -0.55, 1]);
const ambient = 0.42;
const shadow = 0.62;
const checkDarkening = 0.86;
const sky: readonly [top: Vector, horizon: Vector] = [
  [0.62, 0.74, 0.86],
  [0.9, 0.93, 0.96],
];

/**
 * Draws poses of the same shapes, one after the other. A plane among the shapes is the floor z = 0.
 * @returns draws a pose [S, 7]
 */
export function createRenderer(
  shapes: readonly Shape[],
  { width, height }: Pick<Picture, 'width' | 'height'>,
): (pose: Float64Array, camera: Camera) => Picture {
  const [columns, rows] = [width * samples, height * samples];
  const floor = shapes.find(({ kind }) => kind === 'plane')?.colour;
  const depths = new Float64Array(columns * rows);
  const hits = new Int16Array(columns * rows);
  const raysOf = createRays(columns, rows);
  const light = new Float64Array(columns * rows * 3);
  return (pose, camera) => {
    const solids = placeSolids(shapes, pose);
    const rays = raysOf(camera);
    depths.fill(Infinity);
    hits.fill(-1);
    const canvas = { camera, columns, rows, rays, depths, hits };
    solids.forEach((solid, index) => {
      cast(solid, index, canvas);
    });
    paintBackground(canvas, floor, solids.map(shadeOf), light);
    paintSolids(canvas, solids, light);
    return average(width, height, light);
  };
}

type Canvas = {
  readonly camera: Camera;
  readonly columns: number;
  readonly rows: number;
  /** Direction through the middle of each sample, three numbers each. */
  readonly rays: Float64Array;
  readonly depths: Float64Array;
  /** The solid that is nearest, -1 if there is none. */
  readonly hits: Int16Array;
};

/** Rays by camera. They depend on where it looks and not on where it is, so a moving camera has the same ones. */
function createRays(columns: number, rows: number): (camera: Camera) => Float64Array {
  const rays = new Float64Array(columns * rows * 3);
  const unit = (2 * halfHeight) / rows;
  let known = '';
  return ({ forward, right, up }) => {
    const key = [...forward, ...right, ...up].join();
    if (key === known) return rays;
    known = key;
    for (let at = 0, row = 0; row < rows; row++) {
      const y = (rows / 2 - row - 0.5) * unit;
      for (let column = 0; column < columns; column++, at += 3) {
        const x = (column + 0.5 - columns / 2) * unit;
        const share = 1 / Math.sqrt(1 + x * x + y * y);
        for (let k = 0; k < 3; k++) rays[at + k] = (forward[k]! + x * right[k]! + y * up[k]!) * share;
      }
    }
    return rays;
  };
}

/** Notes where a solid is the nearest, looking only at samples near its centre. */
function cast(solid: Solid, index: number, { camera, columns, rows, rays, depths, hits }: Canvas): void {
  const [ex, ey, ez] = camera.eye;
  const offset = subtract(solid.centre, camera.eye);
  const depth = dot(offset, camera.forward);
  if (depth <= solid.radius) return;
  const unit = rows / (2 * halfHeight);
  const x = columns / 2 + (dot(offset, camera.right) / depth) * unit;
  const y = rows / 2 - (dot(offset, camera.up) / depth) * unit;
  // A sphere away from the middle is drawn stretched; a quarter more covers it within this field of view.
  const reach = ((1.25 * solid.radius) / (depth - solid.radius)) * unit + 1;
  const [left, right] = [Math.max(0, Math.floor(x - reach)), Math.min(columns, x + reach)];
  for (let row = Math.max(0, Math.floor(y - reach)); row < Math.min(rows, y + reach); row++) {
    for (let column = left; column < right; column++) {
      const at = row * columns + column;
      const distance = solid.distance(ex, ey, ez, rays[3 * at]!, rays[3 * at + 1]!, rays[3 * at + 2]!);
      if (distance >= depths[at]!) continue;
      depths[at] = distance;
      hits[at] = index;
    }
  }
}

/** The sky and the floor, which fades into the horizon, if no solid is in front of them. */
function paintBackground(
  { camera, rays, hits }: Canvas,
  floor: Vector | undefined,
  shades: readonly Shade[],
  light: Float64Array,
): void {
  const dark = boundsOf(shades);
  const [ex, ey, ez] = camera.eye;
  const [top, horizon] = sky;
  for (let at = 0; at < hits.length; at++) {
    if (hits[at]! >= 0) continue;
    const dx = rays[3 * at]!;
    const dy = rays[3 * at + 1]!;
    const dz = rays[3 * at + 2]!;
    const height = Math.min(1, Math.max(0, dz) * 1.5);
    const distance = floor === undefined || dz >= 0 ? Infinity : -ez / dz;
    const isSky = distance === Infinity;
    const brightness = isSky ? 0 : floorBrightness(ex + distance * dx, ey + distance * dy, shades, dark);
    const fade = isSky ? 1 : Math.min(1, (distance / 40) ** 2);
    for (let k = 0; k < 3; k++) {
      const far = horizon[k]! + (top[k]! - horizon[k]!) * height;
      const near = isSky ? far : floor![k]! * brightness;
      light[3 * at + k] = near + (far - near) * fade;
    }
  }
}

function paintSolids({ camera, rays, depths, hits }: Canvas, solids: readonly Solid[], light: Float64Array): void {
  for (let at = 0; at < hits.length; at++) {
    const hit = hits[at]!;
    if (hit < 0) continue;
    const solid = solids[hit]!;
    const ray: Vector = [rays[3 * at]!, rays[3 * at + 1]!, rays[3 * at + 2]!];
    const normal = solid.normalAt(add(camera.eye, scale(ray, depths[at]!)));
    const brightness = ambient + (1 - ambient) * Math.max(0, dot(normal, sun));
    for (let k = 0; k < 3; k++) light[3 * at + k] = solid.colour[k]! * brightness;
  }
}

/** A circle on the floor outside which a solid casts no shadow. */
type Shade = { readonly solid: Solid; readonly x: number; readonly y: number; readonly square: number };

/** Around where the light's ray through the centre meets the floor. */
function shadeOf(solid: Solid): Shade {
  const lift = solid.centre[2] / sun[2];
  const [x, y] = [solid.centre[0] - sun[0] * lift, solid.centre[1] - sun[1] * lift];
  return { solid, x, y, square: (solid.radius / sun[2]) ** 2 };
}

type Bounds = { readonly left: number; readonly right: number; readonly low: number; readonly high: number };

/** A rectangle on the floor outside which there is no shadow. */
function boundsOf(shades: readonly Shade[]): Bounds {
  const edge = (of: (shade: Shade, reach: number) => number) => shades.map((one) => of(one, Math.sqrt(one.square)));
  return {
    left: Math.min(...edge(({ x }, reach) => x - reach)),
    right: Math.max(...edge(({ x }, reach) => x + reach)),
    low: Math.min(...edge(({ y }, reach) => y - reach)),
    high: Math.max(...edge(({ y }, reach) => y + reach)),
  };
}

/** Squares of 1 m, darker in the shadow of a solid. */
function floorBrightness(x: number, y: number, shades: readonly Shade[], dark: Bounds): number {
  const base = (Math.floor(x) + Math.floor(y)) % 2 !== 0 ? checkDarkening : 1;
  if (x < dark.left || x > dark.right || y < dark.low || y > dark.high) return base;
  for (const { solid, x: centreX, y: centreY, square } of shades) {
    if ((x - centreX) ** 2 + (y - centreY) ** 2 > square) continue;
    if (solid.distance(x, y, 0, sun[0], sun[1], sun[2]) < Infinity) return base * shadow;
  }
  return base;
}

function average(width: number, height: number, light: Float64Array): Picture {
  const pixels = new Uint8Array(width * height * 3);
  const rowSize = width * samples * 3;
  const factor = 255 / samples ** 2;
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const first = row * samples * rowSize + column * samples * 3;
      for (let k = 0; k < 3; k++, at++) {
        let sum = 0;
        for (let i = 0; i < samples; i++) {
          for (let j = 0; j < samples; j++) sum += light[first + i * rowSize + j * 3 + k]!;
        }
        pixels[at] = Math.min(255, Math.round(sum * factor));
      }
    }
  }
  return { width, height, pixels };
}
