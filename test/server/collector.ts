/** A collector of traces: an HTTP server that reads OTLP in JSON, and keeps the spans. */

import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

/** A span as OTLP's JSON has it. */
export type OtlpSpan = {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
  readonly status: { readonly code: number };
};

type OtlpRequest = {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: OtlpSpan['attributes'] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
};

export type Collector = {
  /** For `traceEndpoint`. */
  readonly endpoint: string;
  readonly spans: readonly OtlpSpan[];
  /** Of the last request: whose spans they are, and its headers. */
  readonly last: { readonly resource: Record<string, unknown>; readonly headers: IncomingHttpHeaders } | undefined;
  /** Requests that came, answered or not. */
  readonly requestCount: number;
  /** Resolves once so many requests have come. */
  requests(count: number): Promise<void>;
};

/**
 * @param answer by default 200 with the empty response of OTLP
 * @param port any that is free unless given
 */
export async function startCollector(
  answer: (response: ServerResponse) => void = (response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}'),
  port = 0,
): Promise<Collector> {
  const spans: OtlpSpan[] = [];
  let requestCount = 0;
  let last: Collector['last'];
  const waiting = new Set<() => void>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (request.url !== '/v1/traces' || request.headers['content-type'] !== 'application/json') {
        response.writeHead(400).end();
        return;
      }
      const body = JSON.parse(Buffer.concat(chunks).toString()) as OtlpRequest;
      for (const { scopeSpans, resource } of body.resourceSpans) {
        last = { resource: attributesOf(resource), headers: request.headers };
        for (const scope of scopeSpans) spans.push(...scope.spans);
      }
      requestCount++;
      for (const check of waiting) check();
      answer(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`,
    spans,
    get last() {
      return last;
    },
    get requestCount() {
      return requestCount;
    },
    requests: (count) =>
      new Promise((resolve) => {
        const check = () => {
          if (requestCount < count) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
  };
}

/** The attributes of a span as plain values. */
export const attributesOf = ({ attributes }: Pick<OtlpSpan, 'attributes'>): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
