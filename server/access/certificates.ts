/**
 * The server's certificate, its key and the authorities of its clients, read again when the files change. What is handed out always
 * belongs together: files that are damaged, or only half replaced, leave what was there before.
 */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { accessSync, constants, readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import { invalidArgument } from '../../src/contract/errors.ts';
import type { ServerConfig } from '../config.ts';

/** PEM. */
export type Identity = { readonly certificate: Buffer; readonly privateKey: Buffer };
export type ClientAuthority = { readonly caCertificate: Buffer };

type Material = {
  readonly identity: Identity;
  readonly authority: ClientAuthority | null;
  readonly validFromMs: number;
  readonly validToMs: number;
};

export type Certificates = {
  readonly identity: Identity;
  /** Null where clients need no certificate. */
  readonly authority: ClientAuthority | null;
  /** Until when the server's certificate holds, in milliseconds since 1970. */
  readonly validToMs: number;
  /** Reads the files again, and warns where the certificate ends soon; tells the listeners where they hold something new and good. */
  refresh(): void;
  onChange(listener: () => void): void;
};

/** The settings that name the files. */
export type CertificateFiles = Pick<ServerConfig, 'tlsCertificateFile' | 'tlsKeyFile' | 'tlsClientAuthorityFile'>;

/** How often the files are looked at for a change. */
const refreshMs = 10_000;
/** From here on a certificate's end is warned of, once a day. */
const soonMs = 14 * 24 * 3_600_000;
const warnEveryMs = 24 * 3_600_000;

/**
 * The same, read again as long as the program of a port needs them.
 * @param log names the port in its lines
 * @throws HyperpolicyError as openCertificates
 */
export function watchCertificates(
  files: CertificateFiles,
  log: Logger,
): (Certificates & { close(): void }) | undefined {
  const certificates = openCertificates(files, log);
  if (certificates === undefined) return undefined;
  const timer = setInterval(certificates.refresh, refreshMs);
  timer.unref();
  return Object.assign(certificates, { close: () => clearInterval(timer) });
}

/**
 * @param now milliseconds since 1970
 * @returns undefined where no file is named: then the server does without TLS
 * @throws HyperpolicyError invalid_argument where only a part is named, or a file cannot be read or is not what it should be
 */
export function openCertificates(
  files: CertificateFiles,
  log: Logger,
  now: () => number = Date.now,
): Certificates | undefined {
  const { tlsCertificateFile, tlsKeyFile, tlsClientAuthorityFile } = files;
  if (tlsCertificateFile === null && tlsKeyFile === null && tlsClientAuthorityFile === null) return undefined;
  if (tlsCertificateFile === null || tlsKeyFile === null) {
    throw invalidArgument({ where: 'TLS', expected: 'a certificate and a key', actual: 'only a part of them' });
  }
  const names = [tlsCertificateFile, tlsKeyFile, ...(tlsClientAuthorityFile === null ? [] : [tlsClientAuthorityFile])];
  for (const name of names) refuseUnreadable(name);
  const listeners: (() => void)[] = [];
  let seen = names.map((name) => readFileSync(name));
  let current = materialOf(seen);
  let unreadable = false;
  let warnedAtMs = Number.NEGATIVE_INFINITY;

  function warnOfEnd(): void {
    const { validFromMs, validToMs } = current;
    const holds = now() >= validFromMs && now() < validToMs - soonMs;
    if (holds || now() - warnedAtMs < warnEveryMs) return;
    warnedAtMs = now();
    const validity = { validFrom: new Date(validFromMs).toUTCString(), validTo: new Date(validToMs).toUTCString() };
    if (now() < validFromMs) log.warn(validity, 'certificate does not hold yet: clients refuse it');
    else if (now() < validToMs) log.warn(validity, 'certificate ends soon: replace it');
    else log.warn(validity, 'certificate has ended: clients refuse it; replace it');
  }

  function refresh(): void {
    readAgain();
    warnOfEnd();
  }

  function readAgain(): void {
    let found: NonSharedBuffer[];
    try {
      found = names.map((name) => readFileSync(name));
    } catch (error) {
      // While a file is replaced it may be missing for a moment. Said once, not at every look.
      const reason = (error as NodeJS.ErrnoException).code;
      if (!unreadable) log.warn({ reason }, 'certificates unreadable; the former ones hold');
      unreadable = true;
      return;
    }
    unreadable = false;
    if (found.every((bytes, i) => bytes.equals(seen[i]!))) return;
    seen = found;
    try {
      current = materialOf(found);
    } catch (error) {
      log.error({ reason: (error as Error).message }, 'certificates refused; the former ones hold');
      return;
    }
    warnedAtMs = Number.NEGATIVE_INFINITY;
    log.info({ validTo: new Date(current.validToMs).toUTCString() }, 'certificates read again');
    for (const listener of listeners) listener();
  }

  warnOfEnd();
  return {
    get identity() {
      return current.identity;
    },
    get authority() {
      return current.authority;
    },
    get validToMs() {
      return current.validToMs;
    },
    refresh,
    onChange: (listener) => listeners.push(listener),
  };
}

/** @throws HyperpolicyError invalid_argument where they do not parse or do not belong together */
function materialOf([certificate, privateKey, caCertificate]: readonly Buffer[]): Material {
  let own: X509Certificate;
  try {
    own = new X509Certificate(certificate!);
    // TLS itself takes a key of another kind than the certificate's, and then refuses every client.
    if (!own.checkPrivateKey(createPrivateKey(privateKey!))) throw new Error('key and certificate mismatch');
    createSecureContext({ cert: certificate, key: privateKey });
    if (caCertificate !== undefined) checkEach(caCertificate.toString('latin1'));
  } catch (cause) {
    throw invalidArgument({
      where: 'TLS',
      expected: 'a certificate chain, its key and, where named, authorities of clients, each as PEM',
      actual: (cause as Error).message,
      cause,
    });
  }
  return {
    identity: { certificate: certificate!, privateKey: privateKey! },
    authority: caCertificate === undefined ? null : { caCertificate },
    validFromMs: Date.parse(own.validFrom),
    validToMs: Date.parse(own.validTo),
  };
}

/** Of a bundle, TLS takes what it can read and leaves out the rest. @throws Error where one of the certificates is damaged */
function checkEach(pem: string): void {
  const blocks = pem.match(/-----BEGIN ([A-Z0-9 ]*CERTIFICATE)-----[^-]*-----END \1-----/g) ?? [];
  const markCount = (mark: string) => pem.split(`-----${mark} `).length - 1;
  if (blocks.length === 0 || markCount('BEGIN') !== blocks.length || markCount('END') !== blocks.length) {
    throw new Error(`${blocks.length} whole certificates of ${Math.max(markCount('BEGIN'), markCount('END'))}`);
  }
  for (const block of blocks) new X509Certificate(block);
}

function refuseUnreadable(file: string): void {
  try {
    accessSync(file, constants.R_OK);
  } catch (cause) {
    throw invalidArgument({ where: 'TLS', expected: 'a file that can be read', actual: file, cause });
  }
}
