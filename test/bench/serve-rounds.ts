/** Short rounds by turns, and the load of one round. */

import type { Call } from './serve-client.ts';

/** Runs the sides one after the other, `rounds` times; every other round backwards, so that no side is always first. */
export async function inTurns(rounds: number, sides: readonly (() => Promise<void>)[]): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) await side();
  }
}

/** Milliseconds of each call, one by one. */
export async function serial(call: () => Promise<unknown>, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await call();
    times.push(performance.now() - start);
  }
  return times;
}

/** Of one round. */
export type Load = {
  readonly perSecond: number;
  /** Milliseconds of each call. */
  readonly times: number[];
};

export const parallelCallCount = 64;

/** Keeps 64 calls in flight until `count` were sent or `durationMs` is over. */
export async function parallel(
  call: Call,
  {
    count = Number.POSITIVE_INFINITY,
    durationMs = Number.POSITIVE_INFINITY,
  }: { readonly count?: number; readonly durationMs?: number },
): Promise<Load> {
  const times: number[] = [];
  const begin = performance.now();
  let sent = 0;
  const worker = async () => {
    while (sent < count) {
      const start = performance.now();
      if (start - begin >= durationMs) return;
      sent++;
      await call();
      times.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: parallelCallCount }, worker));
  return { perSecond: (1000 * times.length) / (performance.now() - begin), times };
}
