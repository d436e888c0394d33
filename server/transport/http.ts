/**
 * The policy service as JSON over HTTP (the Connect protocol), for curl and browsers: the same handlers, access, limits and statuses
 * as over gRPC. ActStream is missing, since it needs HTTP/2.
 */

import { createServer as createPlainServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { guardConnections } from '../../src/contract/http-connections.ts';
import { listenOn, portInUse } from '../../src/contract/ports.ts';
import { PolicyService } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { PolicyHandlers } from '../methods/policy-handlers.ts';
import { createHttpAnswers } from './http-answers.ts';
import { createHttpDrain } from './http-drain.ts';
import { withCors } from './http-origins.ts';
import type { MethodDeps } from './invocation.ts';
import { handshakeMsMax, openPortTls, type PortTls } from './tls.ts';

export type HttpListener = {
  readonly port: number;
  /** Open now. */
  readonly connectionCount: number;
  /** Accepts no more connections; requests in flight finish, for at most `drainMs`. */
  drain(drainMs: number): Promise<void>;
};

/** @throws HyperpolicyError failed_precondition if the port cannot be had; with TLS as openCertificates */
export async function listenHttp(handlers: PolicyHandlers, wanted: number, deps: MethodDeps): Promise<HttpListener> {
  const { config, log, metrics } = deps;
  const listener = withCors(createHttpAnswers(PolicyService, handlers, deps), config.httpOrigins);
  const tls = config.httpPlaintext ? undefined : openPortTls(config, { port: 'HTTP port', log, metrics });
  if (config.httpPlaintext && config.tlsCertificateFile !== null) {
    log.warn({ port: 'HTTP port' }, 'without TLS, as --http-plaintext says: tokens and tensors can be read on the way');
  }
  const server = createServer(listener, tls);
  const connections = guardConnections(server, config.httpConnectionCountMax);
  const drain = createHttpDrain(server, connections);
  const address = { host: config.host, port: wanted };
  const port = await listenOn(server, address, portInUse('HTTP port')).catch((error: unknown) => {
    tls?.close();
    throw error;
  });
  return {
    port,
    get connectionCount() {
      return connections.count;
    },
    async drain(drainMs) {
      await drain(drainMs);
      tls?.close();
    },
  };
}

/** A slow or silent client is cut after these times. */
const patience = { requestTimeout: 10_000, headersTimeout: 10_000, connectionsCheckingInterval: 1000 };

function createServer(listener: RequestListener, tls: PortTls | undefined): Server {
  if (tls === undefined) return createPlainServer(patience, listener);
  const { context } = tls.current;
  const asksClients = context.ca !== undefined;
  const asked = { requestCert: asksClients, rejectUnauthorized: asksClients, handshakeTimeout: handshakeMsMax };
  const server = createTlsServer({ ...patience, ...context, ...asked }, listener);
  tls.watch(server);
  return server;
}
