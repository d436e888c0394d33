/** The revision of this code in version control, which the record of a training names. */

import { execFileSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Of one question to git: a checkout on a slow disk must not hold up a publication. */
const limitMs = 5000;

/**
 * The revision; with `-dirty` where a tracked file differs from it, `-unchecked` where git did not say in 5 s whether one does. `unknown` without
 * git, and outside a checkout of its own, as where this code is installed as a package.
 * @param folder in the checkout; that of this file unless given
 */
export function sourceRevision(folder: string = import.meta.dirname): string {
  try {
    const [root, revision] = git(folder, ['rev-parse', '--show-toplevel', 'HEAD']).split('\n') as [string, string];
    return realpathSync(root) === realpathSync(packageRoot(folder)) ? `${revision}${stateOf(folder)}` : 'unknown';
  } catch {
    return 'unknown';
  }
}

function stateOf(folder: string): string {
  try {
    // Without tags it looks at no other revision.
    const described = git(folder, ['--no-optional-locks', 'describe', '--always', '--dirty', '--exclude=*']);
    return described.endsWith('-dirty') ? '-dirty' : '';
  } catch {
    return '-unchecked';
  }
}

const git = (folder: string, args: readonly string[]): string =>
  execFileSync('git', args, { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'], timeout: limitMs })
    .toString()
    .trim();

/** The nearest folder above with a package.json. */
function packageRoot(start: string): string {
  let folder = start;
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) folder = dirname(folder);
  return folder;
}
