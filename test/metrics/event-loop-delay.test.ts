import { expect, onTestFinished, test, vi } from 'vitest';
import { measureEventLoopDelay } from '../../src/metrics/event-loop-delay.ts';

test('half a second of a blocked event loop is most of the mean over a second, and it passes', async () => {
  const delay = measureEventLoopDelay();
  onTestFinished(() => delay.stop());
  const until = performance.now() + 500;
  while (performance.now() < until);
  // The one sample of this half second: 480 ms late, for 500 ms of time, which weigh 1 - exp(-0.5).
  await vi.waitFor(() => expect(delay.meanUs()).toBeGreaterThan(150_000));
  await vi.waitFor(() => expect(delay.meanUs()).toBeLessThan(50_000), 60_000);
});
