/** Whether a package on the disk is still the same, by the times and sizes of its files. */

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Changes when a package is published again in the same directory. */
export const identityOf = (directory: string): Promise<string> =>
  stat(join(directory, 'manifest.json')).then(
    ({ ino, mtimeMs }) => `${directory}:${ino}:${mtimeMs}`,
    () => directory,
  );

/** Changes with any file of a package: a refused one may have been copied halfway. */
export async function stateOf(directory: string): Promise<string> {
  try {
    const states = (await readdir(directory)).sort().map(async (name) => {
      const { ino, size, mtimeMs } = await stat(join(directory, name));
      return `${name}:${ino}:${size}:${mtimeMs}`;
    });
    return (await Promise.all(states)).join('/');
  } catch (error) {
    return String(error);
  }
}
