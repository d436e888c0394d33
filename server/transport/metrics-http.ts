/** HTTP for machines that watch the server: `/metrics`, `/healthz` (the process runs), `/readyz` (it can answer). */

import { createServer, type ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import { createHostCheck } from '../../src/contract/known-hosts.ts';
import { addressOf, listenOn, portInUse } from '../../src/contract/ports.ts';
import type { ServerConfig } from '../config.ts';

export type MetricsListener = { readonly port: number; close(): Promise<void> };

/**
 * @param registry what `/metrics` shows
 * @param notReady why the server is not ready; undefined where it is
 * @throws HyperpolicyError failed_precondition where the port cannot be had
 */
export async function listenMetrics(
  { host, metricsPort, httpHosts }: ServerConfig,
  registry: Pick<Registry, 'contentType' | 'metrics'>,
  notReady: () => string | undefined,
): Promise<MetricsListener> {
  // A scraper that is slow or silent holds nothing for long.
  const patience = { requestTimeout: 10_000, headersTimeout: 5_000, connectionsCheckingInterval: 1000 };
  const refusesHost = createHostCheck([host, ...httpHosts], 'Name it with --http-host');
  const server = createServer(patience, (request, response) => {
    if (refusesHost(request, response)) return;
    const path = request.url?.split('?')[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, 'expected GET\n');
    if (path === '/healthz') return answer(response, 200, 'ok\n');
    if (path === '/readyz') {
      const reason = notReady();
      return answer(response, reason === undefined ? 200 : 503, `${reason ?? 'ready'}\n`);
    }
    if (path !== '/metrics') return answer(response, 404, 'expected /metrics, /healthz or /readyz\n');
    registry.metrics().then(
      (text) => answer(response, 200, text, registry.contentType),
      () => answer(response, 500, 'the metrics could not be read\n'),
    );
  });
  server.maxConnections = 64;
  return {
    port: await listenOn(server, { host, port: metricsPort }, (error) =>
      portInUse('metrics port', addressOf(host, metricsPort), error),
    ),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type }).end(text);
}
