/** What is counted of TLS: handshakes that failed, and until when certificates hold. */

import { Counter, Gauge, type Registry } from 'prom-client';

/** Why a handshake failed. */
export const handshakeFailures = [
  'no_client_certificate',
  'client_certificate_refused',
  'certificate_refused_by_client',
  'not_tls',
  'left',
  'too_slow',
  'no_common_protocol',
  'other',
] as const;
export type HandshakeFailure = (typeof handshakeFailures)[number];

/** TLS of one port. */
export type TlsMetrics = {
  failed(reason: HandshakeFailure): void;
  /** Milliseconds since 1970. */
  validTo(ms: number): void;
};

/** @returns by the name of a port */
export function registerTlsMetrics(registers: Registry[]): (port: string) => TlsMetrics {
  const failures = new Counter({
    name: 'hyperpolicy_tls_handshakes_failed_total',
    help: 'TLS handshakes that failed, by port and reason',
    labelNames: ['port', 'reason'],
    registers,
  });
  const ends = new Gauge({
    name: 'hyperpolicy_tls_certificate_expiry_timestamp_seconds',
    help: 'When the certificate of a port ends, in seconds since 1970',
    labelNames: ['port'],
    aggregator: 'min',
    registers,
  });
  return (port) => {
    for (const reason of handshakeFailures) failures.inc({ port, reason }, 0);
    return {
      failed: (reason) => failures.inc({ port, reason }),
      validTo: (ms) => ends.set({ port }, ms / 1000),
    };
  };
}
