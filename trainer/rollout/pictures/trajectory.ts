/** One episode as poses: recorded from an environment, drawn as an animation or a strip, or written out for a 3-D viewer. */

import { failedPrecondition, invalidArgument } from '../../../src/contract/errors.ts';
import { specSize } from '../../../src/contract/tensor-spec.ts';
import type { Env, ResetOptions } from '../../../src/envs/env.ts';
import { poseSize, type Scene, type Shape } from '../../../src/envs/scene.ts';
import type { Transition } from '../../replay/replay-buffer.ts';
import type { BatchPolicy } from '../policy.ts';
import { encodeGif } from './gif.ts';
import { encodePng, joinPictures } from './png.ts';
import { createRenderer, type Picture } from './render.ts';
import { type Camera, lookAt } from './solid.ts';
import type { Vector } from './vector.ts';

export type Trajectory = {
  readonly environment: string;
  readonly seed: number;
  readonly stepDurationS: number;
  readonly view: Scene['view'];
  readonly shapes: readonly Shape[];
  /** Before the first step and after each: [S, 7], see `Scene.pose`. */
  readonly poses: readonly Float64Array[];
} & EpisodeResult;

export type RecordOptions = {
  readonly env: Env;
  readonly policy: BatchPolicy;
  readonly seed: number;
  /** The episode's end, or this many steps. */
  readonly stepCountMax?: number;
  /** The task to pose. */
  readonly context?: ArrayLike<number> | undefined;
  /** Gets each transition in turn; one in which the simulator diverged is none. */
  readonly keep?: (transition: Transition) => void;
};

export type EpisodeResult = {
  /** Undiscounted sum of rewards. */
  readonly return: number;
  readonly stepCount: number;
  readonly terminated: boolean;
};

/**
 * Runs one episode under a policy.
 * @param note called with the start state, and after every step that did not diverge
 */
export function runEpisode(
  { env, policy, seed, stepCountMax = Infinity, context, keep }: RecordOptions,
  note: () => void = () => {},
): EpisodeResult {
  const options: ResetOptions = context === undefined ? {} : { context };
  const action = new Float32Array(specSize(env.specs.action));
  const none = new Float64Array(0);
  let observation = Float32Array.from(env.reset(seed, options).observation);
  let total = 0;
  let stepCount = 0;
  note();
  while (stepCount < stepCountMax) {
    policy.act(observation, env.context ?? none, action);
    const { reward, terminated, truncated, diverged, ...result } = env.step(action);
    const nextObservation = Float32Array.from(result.observation);
    if (!diverged) keep?.({ observation, action: action.slice(), reward, nextObservation, terminated });
    observation = nextObservation;
    total += reward;
    stepCount++;
    if (!diverged) note();
    if (terminated || truncated) return { return: total, stepCount, terminated };
  }
  return { return: total, stepCount, terminated: false };
}

/** @throws HyperpolicyError failed_precondition: an environment that cannot be drawn */
export function sceneOf(env: Env): Scene {
  const scene = env.scene?.();
  if (scene !== undefined) return scene;
  throw failedPrecondition({
    where: `${env.name}: picture`,
    expected: 'an environment with a member "scene"',
    actual: 'one without',
    remedy: 'src/envs/README.md has an example of one',
  });
}

/**
 * Runs one episode and notes every pose.
 * @throws HyperpolicyError failed_precondition: an environment that cannot be drawn
 */
export function recordTrajectory(options: RecordOptions): Trajectory {
  const { env, seed } = options;
  const scene = sceneOf(env);
  const { view, shapes } = scene;
  const poses: Float64Array[] = [];
  const result = runEpisode(options, () => {
    const pose = new Float64Array(shapes.length * poseSize);
    scene.pose(pose);
    poses.push(pose);
  });
  return { environment: env.name, seed, stepDurationS: env.stepDurationS, view, shapes, poses, ...result };
}

export type PictureOptions = {
  /** Size of a frame, pixels. */
  readonly width?: number;
  readonly height?: number;
  /** Told after each frame. */
  readonly onFrame?: (doneCount: number, count: number) => void;
};

const defaultSize = { width: 320, height: 240 };
const frameDurationS = 0.04;
/** An animation shows at most this many frames; longer ones show the beginning. */
const frameCountMax = 300;
const stripFrameCount = 6;

/** File endings that `encodeTrajectory` knows. */
export const pictureFormats = ['gif', 'png', 'json'] as const;

/**
 * A trajectory as a file: `gif` an animation in real time, `png` six frames side by side, `json` shapes and poses for a viewer.
 * @throws HyperpolicyError invalid_argument: another format
 */
export function encodeTrajectory(trajectory: Trajectory, format: string, options: PictureOptions = {}): Uint8Array {
  if (format === 'gif') return encodeAnimation(trajectory, options);
  if (format === 'png') return encodeStrip(trajectory, options);
  if (format === 'json') return encodePoses(trajectory);
  throw invalidArgument({
    where: 'picture',
    expected: `a file that ends in ${pictureFormats.map((name) => `.${name}`).join(', ')}`,
    actual: `".${format}"`,
  });
}

function encodeAnimation(trajectory: Trajectory, options: PictureOptions): Uint8Array {
  const { poses, stepDurationS } = trajectory;
  const stride = Math.max(1, Math.round(frameDurationS / stepDurationS));
  const shown = poses.filter((_, i) => i % stride === 0).slice(0, frameCountMax);
  return encodeGif(drawPoses(trajectory, shown, options), stride * stepDurationS * 1000);
}

function encodeStrip(trajectory: Trajectory, options: PictureOptions): Uint8Array {
  const { poses } = trajectory;
  const shown = Array.from(
    { length: stripFrameCount },
    (_, i) => poses[Math.round((i * (poses.length - 1)) / (stripFrameCount - 1))]!,
  );
  return encodePng(joinPictures(drawPoses(trajectory, shown, options)));
}

/** Numbers to a tenth of a millimetre. */
function encodePoses({ poses, ...head }: Trajectory): Uint8Array {
  const rounded = poses.map((pose) => Array.from(pose, (value) => Math.round(value * 1e4) / 1e4));
  return Buffer.from(JSON.stringify({ ...head, poseSize, poses: rounded }));
}

function drawPoses(
  { shapes, poses, view }: Trajectory,
  shown: readonly Float64Array[],
  { width = defaultSize.width, height = defaultSize.height, onFrame }: PictureOptions,
): Picture[] {
  const solid = shapes.flatMap(({ kind }, i) => (kind === 'plane' ? [] : [i]));
  const extent = extentOf(shapes, solid, poses[0]!);
  const draw = createRenderer(shapes, { width, height });
  return shown.map((pose, i) => {
    const picture = draw(pose, cameraOf(view, solid, pose, poses[0]!, extent));
    onFrame?.(i + 1, shown.length);
    return picture;
  });
}

function centreOf(solid: readonly number[], pose: Float64Array): Vector {
  const mean = (k: number) => solid.reduce((sum, i) => sum + pose[i * poseSize + k]!, 0) / solid.length;
  return [mean(0), mean(1), mean(2)];
}

/** Radius of a ball around the centre that holds all shapes. */
function extentOf(shapes: readonly Shape[], solid: readonly number[], pose: Float64Array): number {
  const centre = centreOf(solid, pose);
  return Math.max(
    ...solid.map((i) => {
      const offset = Math.hypot(...[0, 1, 2].map((k) => pose[i * poseSize + k]! - centre[k]!));
      return offset + shapes[i]!.size.reduce((sum, size) => sum + size, 0);
    }),
  );
}

/** From the side it follows the body along the floor; from above it stays. */
function cameraOf(
  view: Scene['view'],
  solid: readonly number[],
  pose: Float64Array,
  start: Float64Array,
  extent: number,
): Camera {
  if (view === 'above') return lookAt([0, 0.5, 0], [0, 0, 1], 2.8);
  const [x, y] = centreOf(solid, pose);
  return lookAt([x, y, centreOf(solid, start)[2]], [0.35, -1, 0.3], 3.1 * extent);
}
