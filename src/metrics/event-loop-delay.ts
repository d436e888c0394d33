/** The delay of the event loop: how long a request waits before this process sees it. */

export type EventLoopDelay = {
  /** Mean over about the last second, microseconds. */
  meanUs(): number;
  stop(): void;
};

const periodMs = 20;
const samplesPerSecond = 1000 / periodMs;

/** Measures how late a timer fires: one sample per 20 ms, averaged over about a second. */
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
