/** One timer for everything that is due at some time: one for each request of a stream would cost as much as its message. */

export type DueTimer = {
  /** Wakes then, or where it was set for an earlier time then first: who is woken sets it again. The process lives until then. */
  set(atMs: number): void;
  /** Nothing waits: the timer stays for what comes next, and keeps no process alive. */
  rest(): void;
  stop(): void;
};

/** Times are those of `performance.now()`; it may wake a little early. */
export function createDueTimer(wake: () => void): DueTimer {
  let running: { readonly atMs: number; readonly handle: NodeJS.Timeout } | undefined;
  const stop = () => {
    clearTimeout(running?.handle);
    running = undefined;
  };
  const ring = () => {
    running = undefined;
    wake();
  };
  return {
    set(atMs) {
      if (running !== undefined && running.atMs <= atMs) {
        running.handle.ref();
        return;
      }
      stop();
      running = { atMs, handle: setTimeout(ring, atMs - performance.now()) };
    },
    rest() {
      running?.handle.unref();
    },
    stop,
  };
}
