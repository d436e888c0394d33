/** The environment that a model was trained in. */

import { failedPrecondition } from '../contract/errors.ts';
import type { Env } from './env.ts';
import { createEnvironment, environmentNames } from './registry.ts';

/**
 * Creates the model's environment, or the user's own. A path is only taken from the user: neither a server nor a store must choose
 * what is loaded here.
 * @param model its name, and the environment that it names
 * @param options.own a name or a path
 * @param options.where who asks, in errors
 * @throws HyperpolicyError failed_precondition: the model's is none of ours; as createEnvironment
 */
export async function createModelEnvironment(
  { model, environment }: { readonly model: string; readonly environment: string },
  { own, where }: { readonly own: string | undefined; readonly where: string },
): Promise<Env> {
  if (own !== undefined) return createEnvironment(own);
  if (environmentNames.includes(environment)) return createEnvironment(environment);
  throw failedPrecondition({
    where: `${where}: environment of "${model}"`,
    expected: 'one that "hyperpolicy environments" lists',
    actual: `"${environment}"`,
    remedy: 'Name yours with --env: its name, or its file such as ./my-env.js',
  });
}
