/** Transport security of a client: its PEM files as credentials of the library. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import grpc from '@grpc/grpc-js';
import { invalidArgument } from '../../src/contract/errors.ts';
import { checkOptions, checkText, shown } from './checks.ts';

export type TlsOptions = {
  /** Authority that signed the server's certificate, PEM; the system's authorities unless given. */
  readonly authority?: Buffer;
  /** The client's own certificate and key, PEM, for servers that ask for one. */
  readonly certificate?: Buffer;
  readonly key?: Buffer;
  /** Name in the server's certificate, where it is not that of the address. */
  readonly serverName?: string;
};

const tlsOptionNames = [
  'authority',
  'certificate',
  'key',
  'serverName',
] as const satisfies readonly (keyof TlsOptions)[];

/** @throws HyperpolicyError invalid_argument: no PEM, a key that is not the certificate's, one of the two alone */
export function credentialsOf(where: string, tls: TlsOptions | undefined): grpc.ChannelCredentials {
  if (tls === undefined) return grpc.credentials.createInsecure();
  checkOptions(where, tls, tlsOptionNames);
  const { authority, certificate, key, serverName } = tls;
  for (const [name, bytes] of Object.entries({ authority, certificate, key })) {
    // What is no PEM the library passes over without a word, and trusts nobody.
    if (bytes === undefined || (Buffer.isBuffer(bytes) && bytes.includes('-----BEGIN '))) continue;
    throw invalidArgument({
      where: `${where}.${name}`,
      expected: 'a Buffer with PEM',
      actual: shown(bytes),
      remedy: 'Read the file: readFileSync(name)',
    });
  }
  if (serverName !== undefined) checkText(`${where}.serverName`, serverName);
  if ((certificate === undefined) !== (key === undefined)) {
    const missing = certificate === undefined ? 'certificate' : 'key';
    throw invalidArgument({ where, expected: 'certificate and key, or neither', actual: `no ${missing}` });
  }
  try {
    // TLS itself takes a key of another kind than the certificate's, and the server then sees no certificate.
    if (certificate !== undefined && !new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key!)))
      throw new Error('a key of another certificate');
    if (authority !== undefined) new X509Certificate(authority);
    return withoutAddressAsName(grpc.credentials.createSsl(authority ?? null, key ?? null, certificate ?? null));
  } catch (cause) {
    throw invalidArgument({
      where,
      expected: 'PEM files, and the key that belongs to the certificate',
      actual: (cause as Error).message,
      cause,
    });
  }
}

/**
 * The same credentials, that send no name to a server which is known by its address. The library sends the address, which is no name
 * (RFC 6066, section 3) and of which Node warns (DEP0123). The certificate must still have the address: Node compares `host` then.
 */
function withoutAddressAsName(credentials: grpc.ChannelCredentials): grpc.ChannelCredentials {
  const create = credentials._createSecureConnector.bind(credentials);
  credentials._createSecureConnector = (...given) => {
    const connector = create(...given);
    // Private to the library.
    const { connectionOptions: options } = connector as { connectionOptions?: { servername?: string } };
    if (options?.servername !== undefined && isIP(options.servername) !== 0) delete options.servername;
    return connector;
  };
  return credentials;
}
