/** What a kill leaves of a run. */

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Makes a run directory that of a run that was killed before its first checkpoint: it has none, and its log tells of none. */
export function forgetCheckpoints(runDirectory: string): void {
  rmSync(join(runDirectory, 'checkpoints'), { recursive: true });
  const log = join(runDirectory, 'train.log');
  const lines = readFileSync(log, 'utf8').split('\n');
  writeFileSync(log, lines.filter((line) => !line.includes('"msg":"checkpoint"')).join('\n'));
}
