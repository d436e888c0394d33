/** The HTTP port that a scraper reads metrics from, the same for server and trainer. */

import { createServer, type ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import { guardConnections } from '../contract/http-connections.ts';
import { createHostCheck } from '../contract/known-hosts.ts';
import { listenOn, type PortRefusal } from '../contract/ports.ts';

export type MetricsListener = { readonly port: number; close(): Promise<void> };

export type MetricsListenerOptions = {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Names, beside `host`, by which a request may call this machine. */
  readonly otherHosts?: readonly string[];
  /** What to do about a name that is not known. */
  readonly hostRemedy: string;
  /** Pages beside `/metrics`, by path: status and text. */
  readonly pages?: Readonly<Record<string, () => readonly [status: number, text: string]>>;
  readonly refusal: PortRefusal;
};

/** Limits for slow and silent clients. */
const patience = { requestTimeout: 10_000, headersTimeout: 5_000, connectionsCheckingInterval: 1000 };
const connectionCountMax = 64;

/** @throws Error as `refusal` has it, if the port cannot be had */
export async function listenForMetrics(
  registry: Pick<Registry, 'contentType' | 'metrics'>,
  { host, port, otherHosts = [], hostRemedy, pages = {}, refusal }: MetricsListenerOptions,
): Promise<MetricsListener> {
  const refusesHost = createHostCheck([host, ...otherHosts], hostRemedy);
  const server = createServer(patience, (request, response) => {
    if (refusesHost(request, response)) return;
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, 'expected GET\n');
    const path = request.url?.split('?')[0] ?? '';
    if (Object.hasOwn(pages, path)) return answer(response, ...pages[path]!());
    if (path !== '/metrics') {
      return answer(response, 404, `expected ${['/metrics', ...Object.keys(pages)].join(' or ')}\n`);
    }
    registry.metrics().then(
      (text) => answer(response, 200, text, registry.contentType),
      () => answer(response, 500, 'the metrics could not be read\n'),
    );
  });
  const connections = guardConnections(server, connectionCountMax);
  return {
    port: await listenOn(server, { host, port }, refusal),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        connections.cut();
      }),
  };
}

function answer(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type }).end(text);
}
