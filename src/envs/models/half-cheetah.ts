/**
 * The half cheetah: a planar runner with a torso, a head, and two legs of thigh, shin and foot. Figures: Wawrzynski 2009 as
 * used by Gymnasium's HalfCheetah. Lengths in m, angles in rad, y points across, x forward, z up.
 */

import { element, type MjcfElement, renderMjcf } from '../mjcf.ts';
import { bodyColour, farLegColour, floorColour, nearLegColour } from './colours.ts';

type Limb = {
  readonly name: string;
  /** Where the limb's joint lies in its parent, [x, z]. */
  readonly at: readonly [number, number];
  readonly range: readonly [number, number];
  readonly stiffness: number;
  readonly damping: number;
  /** Motor torque at full action, N m. */
  readonly gear: number;
  /** The bone: centre [x, z], rotation about y, half length without its caps. */
  readonly bone: { readonly at: readonly [number, number]; readonly angle: number; readonly halfLength: number };
};

const backLeg: readonly Limb[] = [
  {
    name: 'bthigh',
    at: [-0.5, 0],
    range: [-0.52, 1.05],
    stiffness: 240,
    damping: 6,
    gear: 120,
    bone: { at: [0.1, -0.13], angle: -3.8, halfLength: 0.145 },
  },
  {
    name: 'bshin',
    at: [0.16, -0.25],
    range: [-0.785, 0.785],
    stiffness: 180,
    damping: 4.5,
    gear: 90,
    bone: { at: [-0.14, -0.07], angle: -2.03, halfLength: 0.15 },
  },
  {
    name: 'bfoot',
    at: [-0.28, -0.14],
    range: [-0.4, 0.785],
    stiffness: 120,
    damping: 3,
    gear: 60,
    bone: { at: [0.03, -0.097], angle: -0.27, halfLength: 0.094 },
  },
];

const frontLeg: readonly Limb[] = [
  {
    name: 'fthigh',
    at: [0.5, 0],
    range: [-1, 0.7],
    stiffness: 180,
    damping: 4.5,
    gear: 120,
    bone: { at: [-0.07, -0.12], angle: 0.52, halfLength: 0.133 },
  },
  {
    name: 'fshin',
    at: [-0.14, -0.24],
    range: [-1.2, 0.87],
    stiffness: 120,
    damping: 3,
    gear: 60,
    bone: { at: [0.065, -0.09], angle: -0.6, halfLength: 0.106 },
  },
  {
    name: 'ffoot',
    at: [0.13, -0.18],
    range: [-0.5, 0.5],
    stiffness: 60,
    damping: 1.5,
    gear: 30,
    bone: { at: [0.045, -0.07], angle: -0.6, halfLength: 0.07 },
  },
];

const boneRadius = 0.046;
/** Soft contacts; bodies collide with the floor only. */
const contact = { condim: 3, friction: [0.4, 0.1, 0.1], solimp: [0, 0.8, 0.01], solref: [0.02, 1] };
const acrossAxis = [0, 1, 0];

const inPlane = ([x, z]: readonly [number, number]) => [x, 0, z];

const bone = (name: string, rgba: readonly number[], { at, angle, halfLength }: Limb['bone']): MjcfElement =>
  element('geom', {
    name,
    type: 'capsule',
    pos: inPlane(at),
    axisangle: [...acrossAxis, angle],
    size: [boneRadius, halfLength],
    rgba,
    contype: 1,
    conaffinity: 0,
    ...contact,
  });

/** A chain of limbs, each hanging from the one before. */
function leg(rgba: readonly number[], [limb, ...rest]: readonly Limb[]): MjcfElement[] {
  if (limb === undefined) return [];
  const joint = element('joint', {
    name: limb.name,
    type: 'hinge',
    axis: acrossAxis,
    limited: true,
    range: limb.range,
    stiffness: limb.stiffness,
    damping: limb.damping,
    armature: 0.1,
    solimplimit: [0, 0.8, 0.03],
    solreflimit: [0.02, 1],
  });
  const children = [joint, bone(limb.name, rgba, limb.bone), ...leg(rgba, rest)];
  return [element('body', { name: limb.name, pos: inPlane(limb.at) }, children)];
}

/** A degree of freedom of the torso in its plane: free of springs, limits and motors. */
const planar = (name: string, type: 'slide' | 'hinge', axis: readonly number[]): MjcfElement =>
  element('joint', {
    name,
    type,
    axis,
    limited: false,
    solimplimit: [0, 0.8, 0.03],
    solreflimit: [0.02, 1],
  });

/** The model as MJCF: nq 9, nv 9, nu 6 (back thigh, shin, foot, then front). */
export function halfCheetahModel(): string {
  const floor = element('geom', {
    name: 'floor',
    type: 'plane',
    size: [40, 40, 40],
    contype: 1,
    rgba: floorColour,
    conaffinity: 1,
    ...contact,
  });
  const torso = element('body', { name: 'torso', pos: [0, 0, 0.7] }, [
    planar('rootx', 'slide', [1, 0, 0]),
    planar('rootz', 'slide', [0, 0, 1]),
    planar('rooty', 'hinge', acrossAxis),
    element('geom', {
      name: 'torso',
      type: 'capsule',
      fromto: [-0.5, 0, 0, 0.5, 0, 0],
      size: boneRadius,
      rgba: bodyColour,
      contype: 1,
      conaffinity: 0,
      ...contact,
    }),
    bone('head', bodyColour, { at: [0.6, 0.1], angle: 0.87, halfLength: 0.15 }),
    ...leg(farLegColour, backLeg),
    ...leg(nearLegColour, frontLeg),
  ]);
  const motors = [...backLeg, ...frontLeg].map(({ name, gear }) =>
    element('motor', { name, joint: name, gear, ctrllimited: true, ctrlrange: [-1, 1] }),
  );
  return renderMjcf(
    element('mujoco', { model: 'half-cheetah' }, [
      element('compiler', { angle: 'radian', inertiafromgeom: true, settotalmass: 14 }),
      element('option', { timestep: 0.01, gravity: [0, 0, -9.81] }),
      element('size', { memory: '1M' }),
      element('worldbody', {}, [floor, torso]),
      element('actuator', {}, motors),
    ]),
  );
}
