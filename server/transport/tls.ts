/** TLS of one port: its certificates, and its failed handshakes, which are counted and logged with their reason. */

import type { Server, TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import { type CertificateFiles, type Certificates, openCertificates } from '../../src/files/certificates.ts';
import { createNotes } from '../../src/pacing/notes.ts';
import type { HandshakeFailure, Metrics } from '../telemetry/metrics.ts';

/** How often the files are checked for a change. */
const refreshMs = 10_000;
/** Longest time from the connection to the end of its handshake. */
export const handshakeMsMax = 10_000;

export type PortTls = Certificates & {
  /** Counts the failed handshakes of a server, and renews its certificates. Call it before the first connection. */
  watch(server: Server): void;
  /** Stops reading the files. */
  close(): void;
};

export type PortTlsOptions = {
  /** Names the port in log lines and metrics. */
  readonly port: string;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, 'tls' | 'reloaded'>;
};

/**
 * @returns undefined if the settings name no certificate
 * @throws HyperpolicyError as openCertificates
 */
export function openPortTls(files: CertificateFiles, { port, log, metrics }: PortTlsOptions): PortTls | undefined {
  const named = log.child({ port });
  const certificates = openCertificates(files, named, Date.now, (result) => metrics.reloaded('certificates', result));
  if (certificates === undefined) return undefined;
  const timer = setInterval(certificates.refresh, refreshMs).unref();
  const counts = metrics.tls(port);
  const tellEnd = () => counts.validTo(certificates.current.validToMs);
  tellEnd();
  certificates.onChange(tellEnd);
  const note = createNotes(named, 'TLS handshakes failed');
  return Object.assign(certificates, {
    close: () => clearInterval(timer),
    watch(server: Server) {
      certificates.onChange(() => server.setSecureContext(certificates.current.context));
      server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
        const reason = handshakeFailureOf(error, socket.authorizationError as unknown as string | null);
        counts.failed(reason);
        note(reason, { cause: causeOf(error, socket), address: socket.remoteAddress });
      });
    },
  });
}

/** @throws HyperpolicyError as openCertificates. It logs nothing: the ports do, which open them */
export function checkCertificates(files: CertificateFiles, log: Logger): void {
  openCertificates(files, log.child({}, { level: 'silent' }));
}

/** The library's name of the cause. */
const causeOf = ({ code, message }: NodeJS.ErrnoException, { authorizationError }: TLSSocket): string =>
  String(authorizationError ?? code ?? message);

/** @param refused the library's reason to refuse the client's certificate */
function handshakeFailureOf({ code = '' }: NodeJS.ErrnoException, refused?: string | null): HandshakeFailure {
  if (/PEER_DID_NOT_RETURN_A_CERTIFICATE/.test(code)) return 'no_client_certificate';
  if (refused !== undefined && refused !== null) return 'client_certificate_refused';
  if (/CERTIFICATE_VERIFY_FAILED/.test(code)) return 'client_certificate_refused';
  // The client has sent an alert about the server's certificate.
  if (/ALERT.*(UNKNOWN_CA|CERTIFICATE|ACCESS_DENIED)/.test(code)) return 'certificate_refused_by_client';
  if (/HTTP_REQUEST|HTTPS_PROXY_REQUEST|WRONG_VERSION_NUMBER|UNEXPECTED_MESSAGE|PACKET_LENGTH|BAD_RECORD/.test(code)) {
    return 'not_tls';
  }
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'too_slow';
  if (/ECONNRESET|EPIPE/.test(code)) return 'left';
  if (/PROTOCOL|CIPHER|GROUP|SIGNATURE|VERSION/.test(code)) return 'no_common_protocol';
  return 'other';
}
