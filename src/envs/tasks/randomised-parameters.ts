/**
 * Tasks that differ in the body instead of the goal, as in PEARL's Walker2d and Hopper: each mass, inertia, friction and
 * damping is its reference value times a power of 1.5 (damping: 1.3) with an exponent in [-3, 3]. The context lists the
 * exponents.
 *
 * Reference: rand_param_envs draws exponents for values that are zero too; those are left out here, as they change nothing. It also leaves
 * what MuJoCo derives from masses as it was; here it is recomputed.
 */

import type { ContextSpec } from '../../contract/tensor-spec.ts';
import type { Simulator } from '../simulator.ts';
import { uniformTasks } from '../task-distribution.ts';
import type { PlanarRunner } from './planar-runner.ts';

const exponentLimit = 3;
const base = 1.5;
const dampingBase = 1.3;

/** One randomised value of the model. */
type Parameter = {
  readonly name: string;
  readonly field: 'body_mass' | 'body_inertia' | 'dof_damping' | 'geom_friction';
  readonly index: number;
  readonly base: number;
};

/** Coordinates of the torso, which have no damping. */
const torsoDofCount = 3;

/** Parts beside the world, in the simulator's order: the torso, then each joint's own part. */
function parametersOf(joints: readonly string[]): Parameter[] {
  const parts = ['torso', ...joints];
  const axes = ['x', 'y', 'z'];
  const frictions = ['sliding', 'torsional', 'rolling'];
  return [
    ...parts.map((part, i) => ({ name: `${part}.mass`, field: 'body_mass' as const, index: i + 1, base })),
    ...parts.flatMap((part, i) =>
      axes.map((axis, k) => ({
        name: `${part}.inertia-${axis}`,
        field: 'body_inertia' as const,
        index: 3 * (i + 1) + k,
        base,
      })),
    ),
    ...joints.map((joint, i) => ({
      name: `${joint}.damping`,
      field: 'dof_damping' as const,
      index: torsoDofCount + i,
      base: dampingBase,
    })),
    ...['floor', ...parts].flatMap((part, i) =>
      frictions.map((friction, k) => ({
        name: `${part}.friction-${friction}`,
        field: 'geom_friction' as const,
        index: 3 * i + k,
        base,
      })),
    ),
  ];
}

/** What turns a runner with one geom per body into a family of bodies. */
export function randomisedParameters({ joints }: PlanarRunner): Required<Pick<PlanarRunner, 'tasks' | 'applyContext'>> {
  const parameters = parametersOf(joints);
  const spec: ContextSpec = {
    names: parameters.map(({ name }) => `${name}-exponent`),
    low: parameters.map(() => -exponentLimit),
    high: parameters.map(() => exponentLimit),
    units: parameters.map(() => '1'),
    source: 'oracle',
  };
  let nominal: Float64Array | undefined;
  return {
    tasks: uniformTasks({
      spec,
      train: parameters.map(() => [-exponentLimit, exponentLimit] as const),
      counts: { train: 40, test: 10 },
    }),
    applyContext(simulator: Simulator, context) {
      const { model } = simulator;
      nominal ??= Float64Array.from(parameters, ({ field, index }) => model[field][index]);
      parameters.forEach((parameter, i) => {
        model[parameter.field][parameter.index] = nominal![i]! * parameter.base ** context[i]!;
      });
      simulator.refreshModel();
    },
  };
}
