/** The end of a process with a thread in native code: `process.exit` would wait for that thread, and nobody can end it. */

import { closeSync } from 'node:fs';

/** Ends this process at once, as the signal does without a listener. */
export function endProcess(signal: NodeJS.Signals = 'SIGTERM'): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  if (process.pid !== 1) return;
  // The first process of a container does not get signals of its own. An abort ends it, and would write a stack trace of Node itself.
  closeSync(2);
  process.abort();
}
