/** The delay of the event loop: how long a request waits before this process sees it. */

export type EventLoopDelay = {
  /** Mean over about the last second, microseconds. */
  meanUs(): number;
  stop(): void;
};

const periodMs = 20;
const averagedMs = 1000;
/** A process that was stopped for an hour says so without a number that answers have no room for. */
const lateMsMax = 60_000;

/**
 * Measures how late a timer of 20 ms fires. Each sample counts for the time that it covers: a loop that is blocked has few samples, and
 * counting each alike would make half a second of silence look like 10 ms.
 */
export function measureEventLoopDelay(): EventLoopDelay {
  let meanMs = 0;
  let sampledAtMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    const elapsedMs = nowMs - sampledAtMs;
    const lateMs = Math.min(lateMsMax, Math.max(0, elapsedMs - periodMs));
    meanMs += (lateMs - meanMs) * (1 - Math.exp(-elapsedMs / averagedMs));
    sampledAtMs = nowMs;
  }, periodMs);
  timer.unref();
  return { meanUs: () => Math.round(meanMs * 1000), stop: () => clearInterval(timer) };
}
