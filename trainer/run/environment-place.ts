/** Finds the environment file of a run, even if the run is resumed from another folder, or the file was moved. */

import { existsSync } from 'node:fs';
import { basename, isAbsolute, relative, resolve } from 'node:path';
import { notFound } from '../../src/contract/errors.ts';
import { isEnvFile } from '../../src/envs/env-file.ts';
import type { RunConfig } from './config.ts';

/**
 * The argument of `createEnvironment`, for a run that was begun. A file is looked for where it was, of a relative path in the folder that the run
 * was begun in, then in this folder: of a whole path by its name.
 * @throws HyperpolicyError not_found: a file that is in neither
 */
export function environmentPlace({ environment, workingDirectory = process.cwd() }: RunConfig): string {
  if (!isEnvFile(environment) || (isAbsolute(environment) && existsSync(environment))) return environment;
  const path = isAbsolute(environment) ? basename(environment) : environment;
  const places = [...new Set([resolve(workingDirectory, environment), resolve(path)])];
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
