/** The environments by name. */

import { notFound } from '../spec/errors.ts';
import type { Env } from './env.ts';

/** Each loads its own file, so that a task costs nothing until it is asked for. */
const factories: Readonly<Record<string, () => Promise<Env>>> = {
  'HalfCheetah-v5': async () => (await import('./tasks/half-cheetah.ts')).createHalfCheetah(),
};

/** Every name that `createEnvironment` takes, sorted. */
export const environmentNames: readonly string[] = Object.keys(factories).sort();

/**
 * Creates an environment; `dispose` it when done. It needs a reset before its first step.
 * @throws HyperpolicyError not_found: an unknown name
 */
export async function createEnvironment(name: string): Promise<Env> {
  const factory = Object.hasOwn(factories, name) ? factories[name] : undefined;
  if (factory === undefined) {
    throw notFound({ where: 'environment', expected: `one of ${environmentNames.join(', ')}`, actual: `"${name}"` });
  }
  return factory();
}
