/** Pictures: encoders that decode again, geometry by hand, and recording that does not disturb the environment. */

import { inflateSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { createRandom } from '../../../../src/contract/random.ts';
import type { Env } from '../../../../src/envs/env.ts';
import { createEnvironment } from '../../../../src/envs/registry.ts';
import { poseSize, type Shape } from '../../../../src/envs/scene.ts';
import { encodeGif } from '../../../../trainer/rollout/pictures/gif.ts';
import { encodePng, joinPictures } from '../../../../trainer/rollout/pictures/png.ts';
import { createRenderer, type Picture } from '../../../../trainer/rollout/pictures/render.ts';
import { lookAt, placeSolids, type Solid } from '../../../../trainer/rollout/pictures/solid.ts';
import { encodeTrajectory, recordTrajectory } from '../../../../trainer/rollout/pictures/trajectory.ts';
import { add, dot, normalise, rotate, scale, type Vector } from '../../../../trainer/rollout/pictures/vector.ts';
import { createRandomPolicy } from '../../../../trainer/rollout/policy.ts';
import { decodeGif } from './decode-gif.ts';

const open: Env[] = [];
const create = async (name: string): Promise<Env> => {
  const env = await createEnvironment(name);
  open.push(env);
  return env;
};
afterEach(() => {
  for (const env of open.splice(0)) env.dispose();
});

/** Few colours in noise, so that codes of every width and a full table occur. */
function noise(width: number, height: number, seed: number): Picture {
  const random = createRandom(seed);
  const pixels = Uint8Array.from({ length: width * height * 3 }, () => 32 * random.integer(8));
  for (let i = 0; i < pixels.length; i += 3) pixels[i + 2] = 32 * (pixels[i + 1]! >> 7);
  return { width, height, pixels };
}

describe('the GIF encoder', () => {
  it('gives pictures that decode to the same pixels, with their delay', () => {
    const pictures = [noise(120, 90, 1), noise(120, 90, 2), noise(120, 90, 3)];
    const decoded = decodeGif(encodeGif(pictures, 52));
    expect(decoded).toMatchObject({ width: 120, height: 90, loops: true });
    expect(decoded.frames.map(({ delayMs }) => delayMs)).toEqual([50, 50, 50]);
    decoded.frames.forEach(({ pixels }, i) => {
      expect(Buffer.compare(pixels, pictures[i]!.pixels)).toBe(0);
    });
  });

  it('stays near colours that are more than a palette holds', () => {
    const pixels = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => {
      const pixel = Math.floor(i / 3);
      return [(pixel % 64) * 4, Math.floor(pixel / 64) * 4, 128][i % 3]!;
    });
    const [frame] = decodeGif(encodeGif([{ width: 64, height: 64, pixels }], 40)).frames;
    const worst = Math.max(...frame!.pixels.map((value, i) => Math.abs(value - pixels[i]!)));
    expect(worst).toBeLessThan(20);
  });
});

it('the PNG encoder gives rows that inflate to the same pixels', () => {
  const picture = joinPictures([noise(20, 10, 1), noise(30, 10, 2)]);
  expect([picture.width, picture.height]).toEqual([54, 10]);
  // White between the two, in each row.
  for (let row = 0; row < 10; row++) {
    const at = (row * 54 + 20) * 3;
    expect([...picture.pixels.subarray(at, at + 12)]).toEqual(Array(12).fill(255));
    expect(picture.pixels.subarray(at + 12, at + 102)).toEqual(
      noise(30, 10, 2).pixels.subarray(row * 90, row * 90 + 90),
    );
  }
  const bytes = Buffer.from(encodePng(picture));
  expect(bytes.subarray(1, 4).toString()).toBe('PNG');
  expect([bytes.readUInt32BE(16), bytes.readUInt32BE(20)]).toEqual([54, 10]);
  // The checksum of an empty IEND chunk, from the specification's own example.
  expect(bytes.subarray(-4).toString('hex')).toBe('ae426082');
  const size = bytes.readUInt32BE(33);
  const rows = inflateSync(bytes.subarray(41, 41 + size));
  for (let row = 0; row < 10; row++) {
    expect(rows.subarray(row * 163 + 1, (row + 1) * 163)).toEqual(
      Buffer.from(picture.pixels.subarray(row * 162, (row + 1) * 162)),
    );
  }
});

const meet = (solid: Solid, origin: Vector, direction: Vector) => solid.distance(...origin, ...direction);

describe('solids', () => {
  const upright = [1, 0, 0, 0];
  // A quarter turn about y takes z to x.
  const alongX = [Math.SQRT1_2, 0, Math.SQRT1_2, 0];
  const place = (shape: Partial<Shape>, pose: number[]) =>
    placeSolids([{ name: 's', colour: [1, 0, 0], kind: 'sphere', size: [1], ...shape }], Float64Array.from(pose))[0]!;

  it('are met where arithmetic says', () => {
    const sphere = place({ size: [0.5] }, [0, 5, 0, ...upright]);
    expect(meet(sphere, [0, 0, 0], [0, 1, 0])).toBeCloseTo(4.5, 12);
    expect(meet(sphere, [0, 0, 0.6], [0, 1, 0])).toBe(Infinity);
    expect(meet(sphere, [0, 0, 0], [0, -1, 0])).toBe(Infinity);
    // Half length 2 along x, radius 0.5: the side at y = 4.5, the cap's end at x = 2.5.
    const capsule = place({ kind: 'capsule', size: [0.5, 2] }, [0, 5, 0, ...alongX]);
    expect(meet(capsule, [1.9, 0, 0], [0, 1, 0])).toBeCloseTo(4.5, 12);
    expect(meet(capsule, [10, 5, 0], [-1, 0, 0])).toBeCloseTo(7.5, 12);
    expect(meet(capsule, [0, 0, 0.6], [0, 1, 0])).toBe(Infinity);
    expect(capsule.normalAt([2.5, 5, 0])[0]).toBeCloseTo(1, 12);
    const box = place({ kind: 'box', size: [1, 2, 3] }, [0, 5, 0, ...upright]);
    expect(meet(box, [0, 0, 2.9], [0, 1, 0])).toBeCloseTo(3, 12);
    expect(meet(box, [0, 0, 3.1], [0, 1, 0])).toBe(Infinity);
    expect(box.normalAt([0, 3, 0])).toEqual([-0, -1, -0]);
  });

  it('have their meeting points on their surface, whatever the ray', () => {
    const random = createRandom(3);
    const capsule = place({ kind: 'capsule', size: [0.3, 0.8] }, [0.1, 0.2, 0.3, 0.5, -0.5, 0.5, 0.5]);
    let metCount = 0;
    for (let i = 0; i < 500; i++) {
      const origin = scale(normalise([random.normal(), random.normal(), random.normal()]), 5);
      const target: Vector = [random.normal(), random.normal(), random.normal()];
      const direction = normalise([target[0] - origin[0], target[1] - origin[1], target[2] - origin[2]]);
      const distance = meet(capsule, origin, direction);
      if (distance === Infinity) continue;
      metCount++;
      const point = add(origin, scale(direction, distance));
      // One radius inwards along the normal lies the core, whose points are within 0.8 of the centre.
      const core = add(point, scale(capsule.normalAt(point), -0.3));
      const offset = Math.hypot(core[0] - 0.1, core[1] - 0.2, core[2] - 0.3);
      expect(offset).toBeLessThan(0.8 + 1e-9);
      expect(Math.hypot(...capsule.normalAt(point))).toBeCloseTo(1, 12);
    }
    expect(metCount).toBeGreaterThan(50);
  });
});

describe('the renderer', () => {
  const shapes: Shape[] = [
    { name: 'floor', kind: 'plane', size: [], colour: [0.6, 0.6, 0.6] },
    { name: 'ball', kind: 'sphere', size: [0.5], colour: [1, 0, 0] },
  ];
  const pose = Float64Array.from([0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0]);
  const draw = (drawn: Shape[]) =>
    createRenderer(drawn, { width: 60, height: 40 })(pose, lookAt([0, 0, 1], [0, -1, 0.2], 5));
  const picture = draw(shapes);
  const at = (x: number, y: number) => Array.from(picture.pixels.subarray((y * 60 + x) * 3, (y * 60 + x) * 3 + 3));

  it('puts what it looks at in the middle, the sky above and the floor below', () => {
    const [red, green, blue] = at(30, 20);
    expect(red).toBeGreaterThan(100);
    expect([green, blue]).toEqual([0, 0]);
    const sky = at(2, 1);
    expect(sky[2]).toBeGreaterThan(sky[0]!);
    const floor = at(30, 38);
    expect(Math.max(...floor) - Math.min(...floor)).toBeLessThan(3);
  });

  it('darkens the floor behind the ball as seen from the light', () => {
    const unshadowed = draw([shapes[0]!]);
    const darker = Array.from({ length: 60 * 40 }, (_, i) => i).filter((i) => {
      const isBall = picture.pixels[3 * i + 1] === 0;
      return !isBall && picture.pixels[3 * i]! < unshadowed.pixels[3 * i]! - 20;
    });
    expect(darker.length).toBeGreaterThan(20);
  });
});

describe('a trajectory', () => {
  it('does not disturb the episode that it records', async () => {
    const env = await create('Ant-v5');
    const { return: recorded, poses } = recordTrajectory({
      env,
      policy: createRandomPolicy(env.specs, 4),
      seed: 2,
      stepCountMax: 30,
    });
    const policy = createRandomPolicy(env.specs, 4);
    env.reset(2);
    let total = 0;
    const action = new Float32Array(8);
    for (let i = 0; i < poses.length - 1; i++) {
      policy.act(new Float32Array(105), new Float64Array(0), action);
      total += env.step(action).reward;
    }
    expect(total).toBe(recorded);
  });

  it('has poses that agree with the coordinates', async () => {
    const env = await create('HalfCheetah-v5');
    const { shapes, poses } = recordTrajectory({
      env,
      policy: createRandomPolicy(env.specs, 1),
      seed: 5,
      stepCountMax: 20,
    });
    const { qpos } = env.save().arrays;
    const [x, z, pitch] = qpos as unknown as [number, number, number];
    const torso = shapes.findIndex(({ name }) => name === 'torso');
    const [px, py, pz, w, qx, qy, qz] = poses.at(-1)!.subarray(torso * poseSize, (torso + 1) * poseSize);
    expect([px, py, pz].map((value) => value!.toFixed(9))).toEqual([x, 0, z + 0.7].map((value) => value.toFixed(9)));
    // Turned by the pitch about y, the torso points along (cos, 0, -sin); a capsule has no front.
    const axis = rotate([w!, qx!, qy!, qz!], [0, 0, 1]);
    expect(Math.abs(dot(axis, [Math.cos(pitch), 0, -Math.sin(pitch)]))).toBeCloseTo(1, 12);
    expect(Math.abs(pitch)).toBeGreaterThan(0.01);
  });

  it('becomes an animation in real time, a strip of six and poses for a viewer', async () => {
    const env = await create('Pendulum-v1');
    const trajectory = recordTrajectory({ env, policy: createRandomPolicy(env.specs, 1), seed: 1, stepCountMax: 9 });
    const size = { width: 48, height: 32 };
    const { frames } = decodeGif(encodeTrajectory(trajectory, 'gif', size));
    // A frame per step of 0.05 s, the start included.
    expect(frames.map(({ delayMs }) => delayMs)).toEqual(Array(10).fill(50));
    expect(Buffer.compare(frames[0]!.pixels, frames[9]!.pixels)).not.toBe(0);
    expect(Buffer.from(encodeTrajectory(trajectory, 'png', size)).readUInt32BE(16)).toBe(6 * 48 + 5 * 4);
    const exported = JSON.parse(Buffer.from(encodeTrajectory(trajectory, 'json')).toString());
    expect(exported).toMatchObject({ environment: 'Pendulum-v1', stepDurationS: 0.05, poseSize: 7 });
    expect(exported.poses).toHaveLength(10);
    expect(exported.shapes.map(({ name }: Shape) => name)).toEqual(['rod', 'pivot']);
    expect(() => encodeTrajectory(trajectory, 'mp4')).toThrow(
      'expected a file that ends in .gif, .png, .json, got ".mp4"',
    );
  });

  it('shows the bodies of the point robot, and all of where goals are, in the frames of a report', async () => {
    const env = await create('Point-Robot');
    const policy = createRandomPolicy(env.specs, 1);
    const size = { width: 240, height: 180 };
    for (const context of [
      [1, 0],
      [-1, 0],
      [0, 1],
    ]) {
      const trajectory = recordTrajectory({ env, policy, seed: 1, stepCountMax: 1, context });
      const { pixels } = decodeGif(encodeTrajectory(trajectory, 'gif', size)).frames[0]!;
      // Sunlit: much more of one colour than of the other.
      const countOf = (more: number, less: number) =>
        Array.from({ length: 240 * 180 }, (_, i) => pixels[3 * i + more]! > 1.5 * pixels[3 * i + less]!).filter(Boolean)
          .length;
      // Discs of 15 and 12 pixels have 177 and 113; a part is in shade.
      expect(countOf(0, 1)).toBeGreaterThan(100);
      expect(countOf(1, 0)).toBeGreaterThan(60);
    }
  });

  it('refuses an environment that cannot be drawn', async () => {
    const env = await create('./test/envs/files/cart.js');
    expect(() => recordTrajectory({ env, policy: createRandomPolicy(env.specs, 1), seed: 1 })).toThrow(
      'cart: picture: expected an environment with a member "scene", got one without. src/envs/README.md has an example of one',
    );
  });
});

it.each(['HalfCheetah-v5', 'Hopper-v5', 'Walker2d-v5', 'Ant-v5', 'InvertedPendulum-v5', 'Point-Robot'])(
  '%s has named shapes with unit quaternions',
  async (name) => {
    const env = await create(name);
    env.reset(1);
    const scene = env.scene!();
    const pose = new Float64Array(scene.shapes.length * poseSize);
    scene.pose(pose);
    scene.shapes.forEach((shape, i) => {
      expect(shape.name).not.toBe('');
      expect(Math.hypot(...pose.subarray(i * poseSize + 3, (i + 1) * poseSize))).toBeCloseTo(1, 9);
    });
  },
);
