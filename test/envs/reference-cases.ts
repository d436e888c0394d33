/** The environments that have a reference, and our models of those whose recordings carry the reference's compiled fields. */

import { antModel } from '../../src/envs/models/ant.ts';
import { halfCheetahModel } from '../../src/envs/models/half-cheetah.ts';
import { invertedPendulumModel } from '../../src/envs/models/inverted-pendulum.ts';
import { hopperModel, walker2dModel } from '../../src/envs/models/planar-walkers.ts';

export type ReferenceCase = {
  readonly name: string;
  /** Our model, where the recording has the reference's. */
  readonly model?: () => string;
  /** The recording that has the reference pose. */
  readonly pose?: string;
};

export const referenceCases: readonly ReferenceCase[] = [
  { name: 'HalfCheetah-v5', model: halfCheetahModel },
  { name: 'HalfCheetah-v4', model: halfCheetahModel },
  { name: 'Hopper-v5', model: hopperModel },
  { name: 'Hopper-v4', model: hopperModel },
  { name: 'Walker2d-v5', model: () => walker2dModel({ rightFootFriction: 1.9 }) },
  { name: 'Walker2d-v4', model: () => walker2dModel({ rightFootFriction: 0.9 }) },
  { name: 'Ant-v5', model: antModel },
  { name: 'Ant-v4', model: antModel },
  { name: 'InvertedPendulum-v5', model: invertedPendulumModel },
  { name: 'Pendulum-v1' },
  { name: 'HalfCheetah-Fwd-Back', pose: 'HalfCheetah-v5' },
  { name: 'HalfCheetah-Vel', pose: 'HalfCheetah-v5' },
  { name: 'HalfCheetah-Vel-Medium', pose: 'HalfCheetah-v5' },
  { name: 'Ant-Fwd-Back', pose: 'Ant-v5' },
  { name: 'ant-fwd-back-hyperl', pose: 'Ant-v5' },
  { name: 'Ant-Vel', pose: 'Ant-v5' },
  { name: 'ant-hyperl', pose: 'Ant-v5' },
  { name: 'Hopper-Rand-Params', pose: 'Hopper-v5' },
  { name: 'Walker2d-Rand-Params', pose: 'Walker2d-v5' },
  { name: 'Point-Robot' },
  { name: 'Point-Robot-Sparse' },
];
