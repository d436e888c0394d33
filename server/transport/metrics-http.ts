/** HTTP for machines that watch the server: `/metrics`, `/healthz` (the process runs), `/readyz` (it can answer). */

import { portInUse } from '../../src/contract/ports.ts';
import { listenForMetrics, type MetricsListener } from '../../src/metrics/metrics-listener.ts';
import type { ServerConfig } from '../config.ts';

/**
 * @param registry what `/metrics` shows
 * @param notReady why the server is not ready; undefined if it is
 * @throws HyperpolicyError failed_precondition if the port cannot be had
 */
export const listenMetrics = (
  { host, metricsPort, httpHosts }: ServerConfig,
  registry: Parameters<typeof listenForMetrics>[0],
  notReady: () => string | undefined,
): Promise<MetricsListener> =>
  listenForMetrics(registry, {
    host,
    port: metricsPort,
    otherHosts: httpHosts,
    hostRemedy: 'Name it with --http-host',
    pages: {
      '/healthz': () => [200, 'ok\n'],
      '/readyz': () => {
        const reason = notReady();
        return reason === undefined ? [200, 'ready\n'] : [503, `${reason}\n`];
      },
    },
    refusal: portInUse('metrics port'),
  });
