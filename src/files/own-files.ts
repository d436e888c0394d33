/** Files that this package has beside its code, for whoever is told to use one. */

import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';

/**
 * How to name such a file to a person: from the working directory where that is above it, as in a checkout and in a project that has the
 * package in its node_modules, else whole.
 * @param path from the top folder of the package, such as `deploy/cuda/install.sh`
 */
export function ownFile(path: string): string {
  const top = dirname(createRequire(import.meta.url).resolve('hyperpolicy/package.json'));
  const fromHere = relative(process.cwd(), join(top, path));
  return fromHere.startsWith('..') ? join(top, path) : fromHere;
}
