/**
 * The ant: a ball with four legs, each a fixed root, a thigh on a vertical hip and a shin on an ankle. Figures: Schulman et
 * al. 2015 as used by Gymnasium. Lengths in m, angles in degrees.
 */

import { element, type MjcfElement, renderMjcf } from '../mjcf.ts';
import { bodyColour, farLegColour, floorColour, nearLegColour } from './colours.ts';

type Leg = { readonly name: string; readonly x: 1 | -1; readonly y: 1 | -1 };

/** In the order of the coordinates; x and y are the signs of the direction that the leg points to. */
const legs: readonly Leg[] = [
  { name: 'front-left', x: 1, y: 1 },
  { name: 'front-right', x: -1, y: 1 },
  { name: 'back-left', x: -1, y: -1 },
  { name: 'back-right', x: 1, y: -1 },
];

/** Motors start with the last leg. */
const motorLegs = [legs[3]!, legs[0]!, legs[1]!, legs[2]!];

const jointsOf = ({ name }: Leg) => [`${name}-hip`, `${name}-ankle`];

/** Hinges in the order of the coordinates. */
export const antJoints: readonly string[] = legs.flatMap(jointsOf);
/** Hinges in the order of the motors. */
export const antMotors: readonly string[] = motorLegs.flatMap(jointsOf);
/** Bodies without the world, in the order of the simulator. */
export const antBodies: readonly string[] = [
  'torso',
  ...legs.flatMap(({ name }) => [`${name}-root`, `${name}-thigh`, `${name}-shin`]),
];

const contact = { contype: 1, condim: 3, density: 5, friction: [1, 0.5, 0.5], margin: 0.01 };
const rootLength = 0.2;
const shinLength = 0.4;

const segment = (name: string, { x, y }: Leg, length: number): MjcfElement =>
  element('geom', {
    ...contact,
    conaffinity: 0,
    name,
    type: 'capsule',
    size: 0.08,
    rgba: x > 0 ? nearLegColour : farLegColour,
    fromto: [0, 0, 0, x * length, y * length, 0],
  });

const hinge = (name: string, axis: readonly number[], range: readonly number[]): MjcfElement =>
  element('joint', { name, type: 'hinge', axis, limited: true, range, armature: 1, damping: 1 });

function leg(figures: Leg): MjcfElement {
  const { name, x, y } = figures;
  const [hip, ankle] = jointsOf(figures) as [string, string];
  const along = [x * rootLength, y * rootLength, 0];
  const shin = element('body', { name: `${name}-shin`, pos: along }, [
    // Across the leg, so that the shin turns up and down; its range points down on every leg.
    hinge(ankle, [-x * y, 1, 0], x > 0 ? [30, 70] : [-70, -30]),
    segment(`${name}-shin`, figures, shinLength),
  ]);
  const thigh = element('body', { name: `${name}-thigh`, pos: along }, [
    hinge(hip, [0, 0, 1], [-30, 30]),
    segment(`${name}-thigh`, figures, rootLength),
    shin,
  ]);
  return element('body', { name: `${name}-root` }, [segment(`${name}-root`, figures, rootLength), thigh]);
}

/** The model as MJCF: nq 15 (free torso, 8 hinges), nv 14, nu 8. */
export function antModel(): string {
  const floor = element('geom', {
    ...contact,
    name: 'floor',
    type: 'plane',
    rgba: floorColour,
    conaffinity: 1,
    size: [40, 40, 40],
  });
  const torso = element('body', { name: 'torso', pos: [0, 0, 0.75] }, [
    element('geom', { ...contact, conaffinity: 0, name: 'torso', type: 'sphere', size: 0.25, rgba: bodyColour }),
    element('joint', { name: 'root', type: 'free', limited: false, margin: 0.01 }),
    ...legs.map(leg),
  ]);
  const motors = antMotors.map((joint) =>
    element('motor', { name: joint, joint, gear: 150, ctrllimited: true, ctrlrange: [-1, 1] }),
  );
  return renderMjcf(
    element('mujoco', { model: 'ant' }, [
      element('compiler', { angle: 'degree', inertiafromgeom: true }),
      element('option', { integrator: 'RK4', timestep: 0.01 }),
      element('size', { memory: '4M' }),
      element('worldbody', {}, [floor, torso]),
      element('actuator', {}, motors),
    ]),
  );
}
