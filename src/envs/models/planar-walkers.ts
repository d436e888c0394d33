/**
 * Hopper and Walker2d: upright planar runners with the same torso and legs; the walker has two legs and other feet. Figures:
 * Erez, Tassa and Todorov 2011 as used by Gymnasium. Lengths in m, angles in degrees, x forward, z up.
 */

import { element, type MjcfElement, renderMjcf } from '../mjcf.ts';
import { bodyColour, farLegColour, floorColour, nearLegColour } from './colours.ts';

type LegFigures = {
  /** Appended to the names of the second leg's parts. */
  readonly suffix: string;
  /** Ground friction of thigh and shin, then of the foot. */
  readonly legFriction: number;
  readonly footFriction: number;
  /** How far the toes reach, and the foot's shape. */
  readonly footReach: number;
  readonly footCentre: number;
  readonly footHalfLength: number;
};

type Materials = {
  /** Of every joint but the torso's. */
  readonly joint: Readonly<Record<string, number>>;
  readonly geom: Readonly<Record<string, number | readonly number[]>>;
  /** Torsional and rolling friction, beside each geom's own sliding friction. */
  readonly spin: readonly [number, number];
};

const hipHeight = 1.25;
const torsoHalfLength = 0.2;
const footAcross = [Math.SQRT1_2, 0, -Math.SQRT1_2, 0];

/** A coordinate of the torso; positions count from the ground, so the torso stands at its height where rootz is 1.25. */
const planar = (name: string, type: 'slide' | 'hinge', axis: readonly number[]): MjcfElement =>
  element('joint', {
    name,
    type,
    axis,
    limited: false,
    pos: type === 'slide' ? [0, 0, -hipHeight] : [0, 0, 0],
    ref: name === 'rootz' ? hipHeight : undefined,
  });

const capsule = (
  { geom, spin }: Materials,
  name: string,
  size: readonly [radius: number, halfLength: number],
  friction: number,
  place: { readonly rgba: readonly number[]; readonly pos?: readonly number[]; readonly quat?: readonly number[] },
): MjcfElement => element('geom', { ...geom, name, type: 'capsule', size, friction: [friction, ...spin], ...place });

const hinge = ({ joint }: Materials, name: string, range: readonly number[], pos: readonly number[]): MjcfElement =>
  element('joint', { ...joint, name, type: 'hinge', axis: [0, -1, 0], limited: true, range, pos });

const jointNames = (suffix: string) => ['thigh', 'leg', 'foot'].map((part) => `${part}${suffix}_joint`);

/** Thigh, shin and foot, hanging from the torso's lower end. */
function leg(materials: Materials, figures: LegFigures): MjcfElement {
  const { suffix, legFriction, footFriction, footReach, footCentre, footHalfLength } = figures;
  const rgba = suffix === '' ? nearLegColour : farLegColour;
  const [thighJoint, shinJoint, footJoint] = jointNames(suffix) as [string, string, string];
  const foot = element('body', { name: `foot${suffix}`, pos: [footReach, 0, -0.35] }, [
    hinge(materials, footJoint, [-45, 45], [-footReach, 0, 0.1]),
    capsule(materials, `foot${suffix}`, [0.06, footHalfLength], footFriction, {
      rgba,
      pos: [footCentre, 0, 0.1],
      quat: footAcross,
    }),
  ]);
  const shin = element('body', { name: `leg${suffix}`, pos: [0, 0, -0.7] }, [
    hinge(materials, shinJoint, [-150, 0], [0, 0, 0.25]),
    capsule(materials, `leg${suffix}`, [0.04, 0.25], legFriction, { rgba }),
    foot,
  ]);
  return element('body', { name: `thigh${suffix}`, pos: [0, 0, -torsoHalfLength] }, [
    hinge(materials, thighJoint, [-150, 0], [0, 0, 0]),
    capsule(materials, `thigh${suffix}`, [0.05, 0.225], legFriction, { rgba, pos: [0, 0, -0.225] }),
    shin,
  ]);
}

function walker(
  name: string,
  materials: Materials,
  legs: readonly LegFigures[],
  { gear, floor }: { readonly gear: number; readonly floor: Readonly<Record<string, number | readonly number[]>> },
): string {
  const torso = element('body', { name: 'torso', pos: [0, 0, hipHeight] }, [
    planar('rootx', 'slide', [1, 0, 0]),
    planar('rootz', 'slide', [0, 0, 1]),
    planar('rooty', 'hinge', [0, 1, 0]),
    capsule(materials, 'torso', [0.05, torsoHalfLength], 0.9, { rgba: bodyColour }),
    ...legs.map((figures) => leg(materials, figures)),
  ]);
  const motors = legs
    .flatMap(({ suffix }) => jointNames(suffix))
    .map((joint) => element('motor', { name: joint, joint, gear, ctrllimited: true, ctrlrange: [-1, 1] }));
  return renderMjcf(
    element('mujoco', { model: name }, [
      element('compiler', { angle: 'degree', inertiafromgeom: true }),
      element('option', { integrator: 'RK4', timestep: 0.002 }),
      element('size', { memory: '1M' }),
      element('worldbody', {}, [element('geom', { name: 'floor', type: 'plane', rgba: floorColour, ...floor }), torso]),
      element('actuator', {}, motors),
    ]),
  );
}

/** One leg on a long sticky foot; all parts collide with each other. nq 6, nv 6, nu 3. */
export function hopperModel(): string {
  const contact = { contype: 1, conaffinity: 1, margin: 0.001, solimp: [0.8, 0.8, 0.01], solref: [0.02, 1] };
  return walker(
    'hopper',
    { joint: { armature: 1, damping: 1 }, geom: { ...contact, condim: 1 }, spin: [0.005, 0.0001] },
    [
      {
        suffix: '',
        legFriction: 0.9,
        footFriction: 2,
        footReach: 0.13,
        footCentre: -0.065,
        footHalfLength: 0.195,
      },
    ],
    { gear: 200, floor: { ...contact, condim: 3, size: [20, 20, 0.125] } },
  );
}

/**
 * Two legs; parts collide with the floor only. nq 9, nv 9, nu 6 (right thigh, leg, foot, then left).
 * @param rightFootFriction 1.9 as the left one (Gymnasium v5), or 0.9 (v4 and before)
 */
export function walker2dModel({ rightFootFriction }: { readonly rightFootFriction: number }): string {
  const contact = { contype: 1, condim: 3, density: 1000 };
  const legFigures = { footReach: 0.2, footCentre: -0.1, footHalfLength: 0.1, legFriction: 0.9 };

  return walker(
    'walker2d',
    { joint: { armature: 0.01, damping: 0.1 }, geom: { ...contact, conaffinity: 0 }, spin: [0.1, 0.1] },
    [
      { ...legFigures, suffix: '', footFriction: rightFootFriction },
      { ...legFigures, suffix: '_left', footFriction: 1.9 },
    ],
    { gear: 100, floor: { ...contact, conaffinity: 1, friction: [0.7, 0.1, 0.1], size: [40, 40, 40] } },
  );
}
