/**
 * The server's certificate, its key and the authorities of its clients. The files are read again when they change. Files that are
 * damaged or half replaced are ignored: certificate and key in use always belong together.
 */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import { invalidArgument } from '../contract/errors.ts';
import { type OnRead, readAndWatch } from './reread.ts';

type Material = {
  /** PEM: the server's chain and key, and the authorities of clients if clients need a certificate. */
  readonly context: { readonly cert: Buffer; readonly key: Buffer; readonly ca?: Buffer };
  /** When the server's certificate begins and ends to be valid, milliseconds since 1970. */
  readonly validFromMs: number;
  readonly validToMs: number;
};

export type Certificates = {
  readonly current: Material;
  /** Reads the files again, warns if the certificate ends soon, and calls the listeners if there is a new certificate. */
  refresh(): void;
  onChange(listener: () => void): void;
};

/** Names of PEM files: the chain of the server, its key, and the authorities of clients if clients need a certificate. */
export type CertificateFiles = Readonly<
  Record<'tlsCertificateFile' | 'tlsKeyFile' | 'tlsClientAuthorityFile', string | null>
>;

/** A certificate that ends within this time is a warning, once a day. */
const soonMs = 14 * 24 * 3_600_000;
const warnEveryMs = 24 * 3_600_000;

/**
 * @param now milliseconds since 1970
 * @returns undefined if no file is named: the server then runs without TLS
 * @throws HyperpolicyError invalid_argument if only some files are named, or a file cannot be read or parsed
 */
export function openCertificates(
  { tlsCertificateFile, tlsKeyFile, tlsClientAuthorityFile }: CertificateFiles,
  log: Logger,
  now: () => number = Date.now,
  onRead?: OnRead,
): Certificates | undefined {
  if (tlsCertificateFile === null && tlsKeyFile === null && tlsClientAuthorityFile === null) return undefined;
  if (tlsCertificateFile === null || tlsKeyFile === null) {
    throw invalidArgument({ where: 'TLS', expected: 'a certificate and a key', actual: 'only a part of them' });
  }
  const names = [tlsCertificateFile, tlsKeyFile, ...(tlsClientAuthorityFile === null ? [] : [tlsClientAuthorityFile])];
  const listeners: (() => void)[] = [];
  const describe = ({ validToMs }: Material) => ({ validTo: new Date(validToMs).toUTCString() });
  const files = readAndWatch(names, { where: 'TLS', name: 'certificates', parse: materialOf, describe, log, onRead });
  const warnOfEnd = createEndWarning(log, now);
  warnOfEnd(files.current);
  return {
    get current() {
      return files.current;
    },
    refresh() {
      const isNew = files.refresh();
      warnOfEnd(files.current);
      if (isNew) for (const listener of listeners) listener();
    },
    onChange: (listener) => listeners.push(listener),
  };
}

/** Warns of a certificate that is not valid or ends soon: at once if it is new, then once a day. */
function createEndWarning(log: Logger, now: () => number): (material: Material) => void {
  let warned: Material | undefined;
  let warnedAtMs = 0;
  return (material) => {
    const { validFromMs, validToMs } = material;
    if (now() >= validFromMs && now() < validToMs - soonMs) return;
    if (warned === material && now() - warnedAtMs < warnEveryMs) return;
    warned = material;
    warnedAtMs = now();
    const validity = { validFrom: new Date(validFromMs).toUTCString(), validTo: new Date(validToMs).toUTCString() };
    if (now() < validFromMs) log.warn(validity, 'certificate does not hold yet: clients refuse it');
    else if (now() < validToMs) log.warn(validity, 'certificate ends soon: replace it');
    else log.warn(validity, 'certificate has ended: clients refuse it; replace it');
  };
}

/** @throws HyperpolicyError invalid_argument if they do not parse or do not belong together */
function materialOf([cert, key, ca]: readonly Buffer[]): Material {
  const context = { cert: cert!, key: key!, ...(ca !== undefined && { ca }) };
  try {
    // TLS accepts a key of another kind than the certificate's, and then refuses every client.
    if (!new X509Certificate(context.cert).checkPrivateKey(createPrivateKey(context.key)))
      throw new Error('key and certificate mismatch');
    createSecureContext({ cert: context.cert, key: context.key });
    if (ca !== undefined) checkEach(ca.toString('latin1'));
    const chain = blocksOf(context.cert.toString('latin1')).map((block) => new X509Certificate(block));
    return {
      context,
      // One certificate that has ended breaks the whole chain.
      validFromMs: Math.max(...chain.map(({ validFrom }) => Date.parse(validFrom))),
      validToMs: Math.min(...chain.map(({ validTo }) => Date.parse(validTo))),
    };
  } catch (cause) {
    throw invalidArgument({
      where: 'TLS',
      expected: 'a certificate chain, its key and, where named, authorities of clients, each as PEM',
      actual: (cause as Error).message,
      remedy: "The first certificate of the chain is the server's own; its key is not encrypted",
      cause,
    });
  }
}

const blocksOf = (pem: string): readonly string[] =>
  pem.match(/-----BEGIN ([A-Z0-9 ]*CERTIFICATE)-----[^-]*-----END \1-----/g) ?? [];

/** TLS silently leaves out what it cannot read of a bundle. @throws Error if one of the certificates is damaged */
function checkEach(pem: string): void {
  const blocks = blocksOf(pem);
  const markCount = (mark: string) => pem.split(`-----${mark} `).length - 1;
  if (blocks.length === 0 || markCount('BEGIN') !== blocks.length || markCount('END') !== blocks.length) {
    throw new Error(`${blocks.length} whole certificates of ${Math.max(markCount('BEGIN'), markCount('END'))}`);
  }
  for (const block of blocks) new X509Certificate(block);
}
