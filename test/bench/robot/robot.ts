/**
 * A simulated robot at a real server that is delayed, lossy, restarted, frozen and given a new version: what its cycles came to, and a
 * picture of it. The policy beside was trained by `hyperpolicy train sac --preset sac --env dist/test/bench/robot/walking.js --critic mlp-small
 * --actor-hidden 64,64 --batch-size 128 --eval-every 5000 --seed 1 --steps 81040`, its best evaluation at 80000 steps: 254 (the same on ten fresh
 * episodes: 259), where standing still has 141. Its critic is left out.
 */

import { writeFile } from 'node:fs/promises';
import { drawSvg } from '../../../trainer/seeing/drawing.ts';
import { report } from '../measure.ts';
import type { BenchOptions } from '../options.ts';
import { ageMsMax } from './hopper.ts';
import { chartOf } from './picture.ts';
import { simulate } from './simulation.ts';

export async function run({ json, out, seconds = 60 }: BenchOptions): Promise<void> {
  const result = await simulate(seconds);
  const { summary, cycles, fallCount, policyFallCount, distance } = result;
  const stale = cycles.filter(({ mode, ageMs }) => (mode === 'fresh' || mode === 'hold') && ageMs > ageMsMax);
  if (out !== undefined) await writeFile(out, await drawSvg(chartOf(result, seconds)));
  report(
    {
      seconds,
      cycles_per_second: summary.cyclesPerSecond,
      jitter_p50_ms: summary.jitterMs.p50,
      jitter_p999_ms: summary.jitterMs.p999,
      latency_p50_ms: summary.latencyMs.p50,
      latency_p99_ms: summary.latencyMs.p99,
      missed_count: summary.missedCount,
      skipped_count: summary.skippedCount,
      ...Object.fromEntries(Object.entries(summary.modes).map(([mode, count]) => [`${mode}_count`, count])),
      stale_count: stale.length,
      fall_count: fallCount,
      policy_fall_count: policyFallCount,
      distance_m: distance,
    },
    json,
    { stale_count: { bound: 'most', value: 0 }, fall_count: { bound: 'most', value: 0 } },
  );
}
