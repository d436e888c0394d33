/** The end of a process with a thread in native code: `process.exit` would wait for that thread, and nobody can end it. */

/** Ends this process at once, as SIGTERM does without a listener. */
export function endProcess(): void {
  process.removeAllListeners('SIGTERM');
  process.kill(process.pid, 'SIGTERM');
  // The first process of a container does not get signals of its own.
  if (process.pid === 1) process.abort();
}
