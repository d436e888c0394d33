/** Where a module does not parse. Node leaves that out of the error of an import, and tells it only of its own main file. */

import { spawnSync } from 'node:child_process';

/** Node starts in a fraction of it. */
const checkMsMax = 10_000;

/** @returns undefined if the file parses, as where the fault is in another that it imports */
export function unparsedLine(file: string): string | undefined {
  // The file is read, and nothing of it is run.
  const { stderr } = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8', timeout: checkMsMax });
  return /^.*:(\d+)$/m.exec(stderr)?.[1];
}
