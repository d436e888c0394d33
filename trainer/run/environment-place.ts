/** Finds the environment file of a run, even if the run is resumed from another folder. */

import { existsSync } from 'node:fs';
import { isAbsolute, relative, resolve } from 'node:path';
import { notFound } from '../../src/contract/errors.ts';
import { isEnvFile } from '../../src/envs/env-file.ts';
import type { RunConfig } from './config.ts';

/**
 * The argument of `createEnvironment`. A relative file is looked for in the folder that the run was begun in, then in this one.
 * @throws HyperpolicyError not_found: a file that is in neither
 */
export function environmentPlace({ environment, workingDirectory = process.cwd() }: RunConfig): string {
  if (!isEnvFile(environment) || isAbsolute(environment)) return environment;
  const places = [...new Set([resolve(workingDirectory, environment), resolve(environment)])];
  const found = places.find((place) => existsSync(place));
  if (found === undefined) {
    throw notFound({
      where: `environment "${environment}"`,
      expected: `a file at ${places.join(' or ')}`,
      actual: 'none',
      remedy: 'Put it there, or go on in the folder that has it',
    });
  }
  const here = relative(process.cwd(), found);
  return here.startsWith('.') ? here : `./${here}`;
}
