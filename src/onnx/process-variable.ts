/**
 * Variables that native libraries read when they are loaded. A thread has a copy of the process's, which native code does not see: so they
 * are set in the main thread when a file that needs one is loaded, and a thread that loads the library checks that they are.
 */

import { isMainThread } from 'node:worker_threads';
import { failedPrecondition } from '../contract/errors.ts';

export function setVariable(name: string, value: string): void {
  if (isMainThread) process.env[name] = value;
}

/**
 * To be called before the library is loaded.
 * @param file that sets it, from the project's root
 * @throws HyperpolicyError failed_precondition if it is not as wanted: in a thread of a process that never loaded the file
 */
export function requireVariable(
  name: string,
  wanted: { readonly where: string; readonly expected: string; readonly file: string; isRight(value: string): boolean },
): void {
  const value = process.env[name];
  if (value !== undefined && wanted.isRight(value)) return;
  throw failedPrecondition({
    where: wanted.where,
    expected: wanted.expected,
    actual: value === undefined ? 'none' : JSON.stringify(value),
    remedy: `Load ${wanted.file} in the main thread before a thread that runs graphs starts`,
  });
}
