/** Tests that need something beside npm packages: skipped with a line where it is missing, failed where CI must have it. */

import { createRequire } from 'node:module';
import { test } from 'vitest';

/** Whether everything must be there: continuous integration sets CI. */
export const isCi = process.env.CI === 'true';

/**
 * `test` where `isThere`; in CI always, so that the lack fails; else a skip whose name says what is missing.
 * @param remedy how to get it, e.g. a command
 */
export function testWith(isThere: boolean, what: string, remedy: string): typeof test | typeof test.skip {
  if (isThere) return test;
  if (isCi) {
    test(`${what} is there, as CI needs`, () => {
      throw new Error(`expected ${what}, got none. ${remedy}`);
    });
  } else console.warn(`skipped: ${what} is missing. ${remedy}`);
  return test.skip;
}

/** Whether a package of the tensorflow engine is installed. */
export const hasTensorflow = ['@tensorflow/tfjs-node', '@tensorflow/tfjs-node-gpu'].some((name) => {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
});
