/** The environments by name. */

import { notFound } from '../contract/errors.ts';
import { meant } from '../contract/nearest.ts';
import type { Env } from './env.ts';
import { isEnvFile, loadEnvFile } from './env-file.ts';

type Factories = Readonly<Record<string, () => Promise<Env>>>;

const halfCheetah = () => import('./tasks/half-cheetah.ts');
const hopper = () => import('./tasks/hopper.ts');
const walker2d = () => import('./tasks/walker2d.ts');
const ant = () => import('./tasks/ant.ts');
const pointRobot = () => import('./tasks/point-robot.ts');

/** Each loads its own file, so that a task costs nothing until it is asked for. */
const factories: Factories = {
  'HalfCheetah-v5': async () => (await halfCheetah()).createHalfCheetah('HalfCheetah-v5'),
  'HalfCheetah-v4': async () => (await halfCheetah()).createHalfCheetah('HalfCheetah-v4'),
  'Hopper-v5': async () => (await hopper()).createHopper('Hopper-v5'),
  'Hopper-v4': async () => (await hopper()).createHopper('Hopper-v4'),
  'Walker2d-v5': async () => (await walker2d()).createWalker2d('Walker2d-v5'),
  'Walker2d-v4': async () => (await walker2d()).createWalker2d('Walker2d-v4'),
  'Ant-v5': async () => (await ant()).createAnt(),
  'Ant-v4': async () => (await ant()).createAntV4(),
  'ant-hyperl': async () => (await ant()).createAntHyperl(),
  'InvertedPendulum-v5': async () => (await import('./tasks/inverted-pendulum.ts')).createInvertedPendulum(),
  'Pendulum-v1': async () => (await import('./tasks/pendulum.ts')).createPendulum(),
  'HalfCheetah-Fwd-Back': async () => (await halfCheetah()).createHalfCheetahFwdBack(),
  'HalfCheetah-Vel': async () => (await halfCheetah()).createHalfCheetahVel(),
  'HalfCheetah-Vel-Medium': async () => (await halfCheetah()).createHalfCheetahVelMedium(),
  'Ant-Fwd-Back': async () => (await ant()).createAntFwdBack(),
  'ant-fwd-back-hyperl': async () => (await ant()).createAntFwdBackHyperl(),
  'Ant-Vel': async () => (await ant()).createAntVel(),
  'Hopper-Rand-Params': async () => (await hopper()).createHopperRandParams(),
  'Walker2d-Rand-Params': async () => (await walker2d()).createWalker2dRandParams(),
  'Point-Robot': async () => (await pointRobot()).createPointRobot('Point-Robot'),
  'Point-Robot-Sparse': async () => (await pointRobot()).createPointRobot('Point-Robot-Sparse'),
};

/** Every name that `createEnvironment` takes, sorted. */
export const environmentNames: readonly string[] = Object.keys(factories).sort();

/** `Hopper-v5` for `hopper`. */
const newestVersion = (name: string): string | undefined =>
  environmentNames.findLast((known) => known.toLowerCase().replace(/-v\d+$/, '') === name.toLowerCase());

/**
 * Creates an environment; `dispose` it when done. It needs a reset before its first step.
 * @param name one of `environmentNames`, or the path of a user's own (`./my-env.js`, see env-file.ts)
 * @throws HyperpolicyError not_found: an unknown name or file; invalid_argument: a file that gives no environment
 */
export async function createEnvironment(name: string): Promise<Env> {
  if (isEnvFile(name)) return loadEnvFile(name);
  const factory = Object.hasOwn(factories, name) ? factories[name] : undefined;
  if (factory === undefined) {
    const suggested = newestVersion(name) ?? meant(name, environmentNames);
    throw notFound({
      where: 'environment',
      expected: `one of ${environmentNames.join(', ')}, or a path such as ./my-env.js`,
      actual: `"${name}"`,
      remedy: suggested && `Did you mean ${suggested}?`,
    });
  }
  return factory();
}
