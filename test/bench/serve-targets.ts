/** What the figures of the serving bench should reach. */

import type { Target } from './measure.ts';

const most = (value: number, moonshot?: number): Target => ({ bound: 'most', value, ...(moonshot && { moonshot }) });
const least = (value: number, moonshot?: number): Target => ({ bound: 'least', value, ...(moonshot && { moonshot }) });

/** By key. The same figure of the plain policy has the same target as that of the hyper policy. */
export const serveTargets: Readonly<Record<string, Target>> = {
  ...Object.fromEntries(
    ['act', 'act_mlp'].flatMap((act) => [
      [`${act}_unary_serial_p50_ratio`, most(1.15, 1.05)],
      [`${act}_unary_c64_throughput_ratio`, least(0.8, 0.95)],
      [`${act}_stream_serial_p50_ratio`, most(1.25, 1.1)],
      [`${act}_stream_pipelined_ratio`, least(0.7, 0.9)],
      [`ghz_${act}_unary_serial_p50_ratio`, most(1.15, 1.05)],
      [`ghz_${act}_unary_c64_throughput_ratio`, least(0.8, 0.95)],
    ]),
  ),
  act_cold_warm_ratio: least(20, 60),
  act_cold_rows_ratio: least(0.85, 0.95),
  qgrad_b256_ratio: most(1.05),
  reload_p99_ratio: most(1.5),
  peers_hyper_latency_ratio: least(8),
  peers_hyper_throughput_ratio: least(6),
  peers_mlp_latency_ratio: least(1.5),
  peers_mlp_throughput_ratio: least(2.5),
};
