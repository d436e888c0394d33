/**
 * Draws shapes on a floor by casting a ray per sample: diffuse light from above, shadows on the floor, a checked floor. For
 * small pictures without a display; a frame of 320 x 240 takes some tens of milliseconds.
 */

import type { Shape } from '../../../src/envs/scene.ts';
import { type Camera, placeSolids, type Solid } from './solid.ts';
import { add, dot, normalise, scale, subtract, type Vector } from './vector.ts';

/** Rows from the top, RGB, 8 bits each. */
export type Picture = { readonly width: number; readonly height: number; readonly pixels: Uint8Array };

export type RenderOptions = {
  readonly width: number;
  readonly height: number;
  readonly camera: Camera;
  /** Samples per pixel along each axis. */
  readonly samples?: number;
};

/** Half the picture's height at distance 1 from the eye. */
const halfHeight = Math.tan((45 / 2) * (Math.PI / 180));
const light: Vector = normalise([0.35, -0.55, 1]);
const ambient = 0.42;
const shadow = 0.62;
const checkDarkening = 0.86;
const sky: readonly [top: Vector, horizon: Vector] = [
  [0.62, 0.74, 0.86],
  [0.9, 0.93, 0.96],
];

/** Draws one pose [S, 7]. A plane among the shapes is the floor z = 0. */
export function render(
  shapes: readonly Shape[],
  pose: Float64Array,
  { width, height, camera, samples = 2 }: RenderOptions,
): Picture {
  const solids = placeSolids(shapes, pose);
  const shades = solids.map(shadeOf);
  const floor = shapes.find(({ kind }) => kind === 'plane');
  const [columns, rows] = [width * samples, height * samples];
  const depths = new Float64Array(columns * rows).fill(Infinity);
  const hits = new Int16Array(columns * rows).fill(-1);
  const rayAt = createRays(camera, columns, rows);
  solids.forEach((solid, index) => {
    cast(solid, index, { camera, columns, rows, rayAt, depths, hits });
  });
  const colourAt = (column: number, row: number): Vector => {
    const direction = rayAt(column, row);
    const hit = hits[row * columns + column]!;
    if (hit >= 0) {
      const solid = solids[hit]!;
      const point = add(camera.eye, scale(direction, depths[row * columns + column]!));
      return shade(solid.colour, Math.max(0, dot(solid.normalAt(point), light)));
    }
    const distance = floor === undefined || direction[2] >= 0 ? Infinity : -camera.eye[2] / direction[2];
    const background = mix(sky[1], sky[0], Math.max(0, direction[2]) * 1.5);
    if (distance === Infinity) return background;
    const point = add(camera.eye, scale(direction, distance));
    // The floor fades into the horizon.
    return mix(floorColour(floor!.colour, point, shades), background, Math.min(1, (distance / 40) ** 2));
  };
  return average(width, height, samples, colourAt);
}

/** Directions of the rays through the middle of each sample. */
function createRays({ forward, right, up }: Camera, columns: number, rows: number) {
  const unit = (2 * halfHeight) / rows;
  return (column: number, row: number): Vector => {
    const [x, y] = [(column + 0.5 - columns / 2) * unit, (rows / 2 - row - 0.5) * unit];
    return normalise([
      forward[0] + x * right[0] + y * up[0],
      forward[1] + x * right[1] + y * up[1],
      forward[2] + x * right[2] + y * up[2],
    ]);
  };
}

type Canvas = {
  readonly camera: Camera;
  readonly columns: number;
  readonly rows: number;
  readonly rayAt: (column: number, row: number) => Vector;
  readonly depths: Float64Array;
  readonly hits: Int16Array;
};

/** Notes where a solid is the nearest, looking only at samples near its centre. */
function cast(solid: Solid, index: number, { camera, columns, rows, rayAt, depths, hits }: Canvas): void {
  const offset = subtract(solid.centre, camera.eye);
  const depth = dot(offset, camera.forward);
  if (depth <= solid.radius) return;
  const unit = rows / (2 * halfHeight);
  const [x, y] = [
    columns / 2 + (dot(offset, camera.right) / depth) * unit,
    rows / 2 - (dot(offset, camera.up) / depth) * unit,
  ];
  // A sphere away from the middle is drawn stretched; a quarter more covers it within this field of view.
  const reach = ((1.25 * solid.radius) / (depth - solid.radius)) * unit + 1;
  for (let row = Math.max(0, Math.floor(y - reach)); row < Math.min(rows, y + reach); row++) {
    for (let column = Math.max(0, Math.floor(x - reach)); column < Math.min(columns, x + reach); column++) {
      const distance = solid.meet(camera.eye, rayAt(column, row));
      const at = row * columns + column;
      if (distance >= depths[at]!) continue;
      depths[at] = distance;
      hits[at] = index;
    }
  }
}

const mix = (a: Vector, b: Vector, part: number): Vector => {
  const share = Math.min(1, part);
  return [a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share];
};

const shade = (colour: Vector, brightness: number): Vector => scale(colour, ambient + (1 - ambient) * brightness);

/** A circle on the floor outside which a solid casts no shadow. */
type Shade = { readonly solid: Solid; readonly x: number; readonly y: number; readonly square: number };

/** Around where the light's ray through the centre meets the floor. */
function shadeOf(solid: Solid): Shade {
  const lift = solid.centre[2] / light[2];
  const [x, y] = [solid.centre[0] - light[0] * lift, solid.centre[1] - light[1] * lift];
  return { solid, x, y, square: (solid.radius / light[2]) ** 2 };
}

/** Squares of 1 m, darker where a solid is between the floor and the light. */
function floorColour(colour: Vector, point: Vector, shades: readonly Shade[]): Vector {
  const odd = (Math.floor(point[0]) + Math.floor(point[1])) % 2 !== 0;
  const base = scale(colour, odd ? checkDarkening : 1);
  for (const { solid, x, y, square } of shades) {
    if ((point[0] - x) ** 2 + (point[1] - y) ** 2 > square) continue;
    if (solid.meet(point, light) < Infinity) return scale(base, shadow);
  }
  return base;
}

function average(width: number, height: number, samples: number, colourAt: (c: number, r: number) => Vector): Picture {
  const pixels = new Uint8Array(width * height * 3);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const sum = [0, 0, 0];
      for (let i = 0; i < samples * samples; i++) {
        const colour = colourAt(column * samples + (i % samples), row * samples + Math.floor(i / samples));
        for (let k = 0; k < 3; k++) sum[k]! += colour[k]!;
      }
      const at = (row * width + column) * 3;
      for (let k = 0; k < 3; k++) pixels[at + k] = Math.min(255, Math.round((sum[k]! / samples ** 2) * 255));
    }
  }
  return { width, height, pixels };
}
