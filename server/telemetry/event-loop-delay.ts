/** How late the event loop runs: a request waits so long before this process sees it. */

export type EventLoopDelay = {
  /** Mean over about the last second, microseconds. */
  meanUs(): number;
  stop(): void;
};

const periodMs = 20;
const samplesPerSecond = 1000 / periodMs;

/** Measures with a timer: its lateness is the delay. One sample per 20 ms, weighted to remember about a second. */
export function measureEventLoopDelay(): EventLoopDelay {
  let meanMs = 0;
  let dueMs = performance.now() + periodMs;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    meanMs += (Math.max(0, nowMs - dueMs) - meanMs) / samplesPerSecond;
    dueMs = nowMs + periodMs;
  }, periodMs);
  timer.unref();
  return { meanUs: () => Math.round(meanMs * 1000), stop: () => clearInterval(timer) };
}
