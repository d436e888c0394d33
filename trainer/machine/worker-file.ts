/** The path of a worker thread's compiled file. */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { failedPrecondition } from '../../src/contract/errors.ts';

/**
 * The file that a worker thread runs; it is beside the calling module. Sources that a test runner executes without compiling
 * them get the built file, as a new thread does not have that runner.
 * @param moduleUrl `import.meta.url` of the caller
 * @param name without an ending
 */
export function workerFile(moduleUrl: string, name: string): URL {
  if (!moduleUrl.endsWith('.ts')) return new URL(`./${name}.js`, moduleUrl);
  let root = new URL('.', moduleUrl);
  while (!existsSync(new URL('package.json', root)) && root.pathname !== '/') root = new URL('..', root);
  const built = new URL(`dist/${new URL('.', moduleUrl).href.slice(root.href.length)}${name}.js`, root);
  if (existsSync(built)) return built;
  throw failedPrecondition({
    where: 'worker thread',
    expected: `a built file at ${fileURLToPath(built)}`,
    actual: 'none',
    remedy: 'Run npm run build',
  });
}
