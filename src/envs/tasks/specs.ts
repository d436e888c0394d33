/** Specs of tasks: short ways to write names, bounds and units. */

import type { ContextSpec, TensorSpec } from '../../contract/tensor-spec.ts';

/** Unbounded values, each a [name, unit]. */
export function observationSpec(values: readonly (readonly [name: string, unit: string])[]): TensorSpec {
  return {
    names: values.map(([name]) => name),
    low: values.map(() => null),
    high: values.map(() => null),
    units: values.map(([, unit]) => unit),
  };
}

/** One motor per joint, as a fraction of its strength in [-limit, limit]. */
export function motorSpec(joints: readonly string[], limit = 1): TensorSpec {
  return {
    names: joints.map((joint) => `${joint}.torque`),
    low: joints.map(() => -limit),
    high: joints.map(() => limit),
    units: joints.map(() => '1'),
  };
}

/** A goal velocity along x, m/s. */
export const velocityContext: ContextSpec = {
  names: ['goal.x-velocity'],
  low: [0],
  high: [3],
  units: ['m/s'],
  source: 'oracle',
};

/** Forward (+1) or backward (-1). */
export const directionContext: ContextSpec = {
  names: ['goal.direction'],
  low: [-1],
  high: [1],
  units: ['1'],
  source: 'oracle',
};
