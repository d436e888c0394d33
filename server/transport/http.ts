/**
 * The policy service as JSON over HTTP (the Connect protocol), for curl and browsers: the same handlers, access, limits and statuses
 * as over gRPC. Its stream is not here: it needs HTTP/2 both ways.
 */

import { createServer as createPlainServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { createConnectRouter } from '@connectrpc/connect';
import { PolicyService } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { addressOf, portInUse } from '../call/ports.ts';
import type { PolicyHandlers } from '../methods/policy-handlers.ts';
import { createHttpAnswers } from './http-answers.ts';
import { createHttpCalls } from './http-calls.ts';
import { withCors } from './http-cors.ts';
import { acceptCompression } from './http-refusals.ts';
import { httpUnary } from './http-unary.ts';
import type { MethodDeps } from './invocation.ts';
import { withKnownHosts } from './known-hosts.ts';
import { handshakeMsMax, openPortTls, type PortTls } from './tls.ts';

export type HttpListener = {
  readonly port: number;
  /** Takes no more connections; lets requests in flight finish, for at most `drainMs`. */
  drain(drainMs: number): Promise<void>;
};

/** @throws HyperpolicyError failed_precondition where the port cannot be had; as openCertificates where it has TLS */
export async function listenHttp(handlers: PolicyHandlers, port: number, deps: MethodDeps): Promise<HttpListener> {
  const { config, log, metrics } = deps;
  const { act, qGrad, adapt, prepare, listModels, getModel } = PolicyService.method;
  const { watch, contextValues } = createHttpCalls([act, qGrad, adapt, prepare, listModels, getModel], deps);
  const bytesMax = config.messageBytesMax;
  const router = createConnectRouter({
    connect: true,
    grpc: false,
    grpcWeb: false,
    acceptCompression,
    readMaxBytes: bytesMax,
    writeMaxBytes: bytesMax,
    // The library's default here is to leave out what it does not know, as if it had not been sent.
    jsonOptions: { ignoreUnknownFields: false },
  }).service(PolicyService, {
    act: httpUnary(act, handlers.act, deps),
    qGrad: httpUnary(qGrad, handlers.qGrad, deps),
    adapt: httpUnary(adapt, handlers.adapt, deps),
    prepare: httpUnary(prepare, handlers.prepare, deps),
    listModels: httpUnary(listModels, handlers.listModels, deps),
    getModel: httpUnary(getModel, handlers.getModel, deps),
  });
  const answers = createHttpAnswers({ handlers: router.handlers, contextValues, bytesMax, log });
  const listener = withCors(watch(withKnownHosts(answers, [config.host, ...config.httpHosts])), config.httpOrigins);
  const tls = config.httpPlaintext ? undefined : openPortTls(config, { port: 'HTTP port', log, metrics });
  if (config.httpPlaintext && config.tlsCertificateFile !== null) {
    log.warn({ port: 'HTTP port' }, 'without TLS, as --http-plaintext says: tokens and tensors can be read on the way');
  }
  const server = createServer(listener, tls);
  const connections = boundConnections(server, config.httpConnectionCountMax);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      tls?.close();
      reject(portInUse('HTTP port', addressOf(config.host, port), error));
    });
    server.listen(port, config.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    drain: (drainMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(connections.cut, drainMs);
        server.close(() => {
          clearTimeout(timer);
          tls?.close();
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}

/** A client that is slow or silent holds nothing for long. */
const patience = { requestTimeout: 30_000, headersTimeout: 10_000, connectionsCheckingInterval: 1000 };

/** With TLS where there are certificates, which it follows when they change. */
function createServer(listener: RequestListener, tls: PortTls | undefined): Server {
  if (tls === undefined) return createPlainServer(patience, listener);
  const material = (): ServerOptions => ({
    cert: tls.identity.certificate,
    key: tls.identity.privateKey,
    ...(tls.authority !== null && { ca: tls.authority.caCertificate }),
  });
  const asksClients = tls.authority !== null;
  const server = createTlsServer(
    {
      ...patience,
      ...material(),
      requestCert: asksClients,
      rejectUnauthorized: asksClients,
      handshakeTimeout: handshakeMsMax,
    },
    listener,
  );
  tls.onChange(() => server.setSecureContext(material()));
  tls.watch(server);
  return server;
}

/**
 * Cuts connections over the bound. `server.maxConnections` is of no use in one of several processes: it sends them back to the parent,
 * which hands them to the next without end where all are full.
 */
function boundConnections(server: Server, countMax: number): { cut(): void } {
  const open = new Set<Socket>();
  server.on('connection', (socket) => {
    if (open.size >= countMax) {
      socket.destroy();
      return;
    }
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  return {
    // Not the server's own list, which lacks those whose TLS handshake is not done.
    cut() {
      for (const socket of open) socket.destroy();
    },
  };
}
