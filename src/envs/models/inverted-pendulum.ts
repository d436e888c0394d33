/** A pole on a cart that slides on a rail. Figures as used by Gymnasium's InvertedPendulum. Nothing collides. */

import { element, renderMjcf } from '../mjcf.ts';
import { bodyColour, farLegColour, nearLegColour } from './colours.ts';

/** Turns a capsule from z to x. */
const alongX = [Math.SQRT1_2, 0, Math.SQRT1_2, 0];
const ghost = { type: 'capsule', contype: 0, friction: [1, 0.1, 0.1] };

/** The model as MJCF: nq 2 (cart in m, pole in rad), nv 2, nu 1 (force on the cart, 100 N per unit). */
export function invertedPendulumModel(): string {
  const pole = element('body', { name: 'pole' }, [
    element('joint', { name: 'pole', type: 'hinge', axis: [0, 1, 0], limited: true, range: [-90, 90], damping: 1 }),
    element('geom', { ...ghost, name: 'pole', rgba: nearLegColour, fromto: [0, 0, 0, 0.001, 0, 0.6], size: 0.049 }),
  ]);
  const cart = element('body', { name: 'cart' }, [
    element('joint', { name: 'cart', type: 'slide', axis: [1, 0, 0], limited: true, range: [-1, 1], damping: 1 }),
    element('geom', { ...ghost, name: 'cart', rgba: bodyColour, quat: alongX, size: [0.1, 0.1] }),
    pole,
  ]);
  return renderMjcf(
    element('mujoco', { model: 'inverted-pendulum' }, [
      element('compiler', { angle: 'degree', inertiafromgeom: true }),
      element('option', { integrator: 'RK4', timestep: 0.02, gravity: [0, 0, -9.81] }),
      element('size', { memory: '1M' }),
      element('worldbody', {}, [
        element('geom', { ...ghost, name: 'rail', rgba: farLegColour, quat: alongX, size: [0.02, 1] }),
        cart,
      ]),
      element('actuator', {}, [
        element('motor', { name: 'cart', joint: 'cart', gear: 100, ctrllimited: true, ctrlrange: [-3, 3] }),
      ]),
    ]),
  );
}
