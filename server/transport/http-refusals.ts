/**
 * Error texts for requests that Connect's library refuses before a handler sees them. The library's texts lack the field or what was
 * expected, and some blame the server for a client's fault. Here they get the form of all other errors.
 */

import { isUtf8 } from 'node:buffer';
import type { DescMethod } from '@bufbuild/protobuf';
import { compressionBrotli, compressionGzip } from '@connectrpc/connect-node';
import { type ErrorFields, invalidArgument, quoted, resourceExhausted } from '../../src/contract/errors.ts';
import { jsonFaultOf, rivalsIn } from '../../src/contract/json-faults.ts';

/** Accepted compressions of bodies. */
export const acceptCompression = [compressionGzip, compressionBrotli];

/** @returns undefined for a body that is not compressed, or in a way that is refused */
export const compressionOf = (header: Headers): typeof compressionGzip | undefined =>
  acceptCompression.find(({ name }) => name === header.get('content-encoding'));

export type RefusedRequest = {
  readonly method: Pick<DescMethod, 'name' | 'input'>;
  readonly header: Headers;
  /** As received, in pieces. */
  readonly body: readonly Uint8Array[];
  readonly bytesMax: number;
};

/** An error in the form of the protocol. */
export type HttpRefusal = { readonly httpStatus: number; readonly code: string; readonly text: string };

/**
 * @param httpStatus of the library's answer
 * @returns undefined to keep the library's text, for a client that has left
 */
export async function refusalOf(httpStatus: number, request: RefusedRequest): Promise<HttpRefusal | undefined> {
  const { method, header, bytesMax } = request;
  const where = `${method.name} body`;
  if (httpStatus === 429) {
    const { message } = resourceExhausted({ where, expected: `at most ${bytesMax} bytes`, actual: 'more' });
    return { httpStatus, code: 'resource_exhausted', text: message };
  }
  if (httpStatus === 415) {
    const actual = quoted(header.get('content-type') ?? '');
    const { text } = invalid({
      where: `${method.name} content-type`,
      expected: 'application/json or application/proto',
      actual,
    });
    return { httpStatus, code: 'invalid_argument', text };
  }
  if (httpStatus === 405) {
    return { httpStatus, code: 'unimplemented', text: `${method.name}: expected POST, got another HTTP method` };
  }
  const encoding = header.get('content-encoding') ?? 'identity';
  const compression = compressionOf(header);
  if (compression === undefined && encoding !== 'identity') {
    const expected = acceptCompression.map(({ name }) => name).join(' or ');
    const { text } = invalid({ where: `${method.name} content-encoding`, expected, actual: quoted(encoding) });
    return { httpStatus: 501, code: 'unimplemented', text };
  }
  if (httpStatus !== 400 && httpStatus !== 500) return undefined;
  const timeout = header.get('connect-timeout-ms') ?? '0';
  if (!/^\d{1,10}$/.test(timeout)) {
    const expected = 'milliseconds in at most 10 digits';
    return invalid({ where: `${method.name} connect-timeout-ms`, expected, actual: quoted(timeout) });
  }
  let body: Uint8Array<ArrayBuffer> = Buffer.concat(request.body);
  try {
    if (compression !== undefined) body = await compression.decompress(body, bytesMax);
  } catch (cause) {
    return invalid({ where, expected: `${encoding} data`, actual: 'bytes that do not decompress', cause });
  }
  return invalid(bodyFault(method, body, header.get('content-type') ?? ''));
}

/**
 * Whether the library reads JSON as it was written. Bytes that are no UTF-8 would become other characters, so that two clients have one id; and
 * of `sequence` beyond 2^53, which a client has again, another number. `refusalOf` says which.
 */
export function isReadAsWritten(body: Buffer): boolean {
  if (!isUtf8(body)) return false;
  if (!body.includes('"sequence"')) return true;
  const [, sequence = '0'] = /"sequence"\s*:\s*(\d{16,})/.exec(body.toString('latin1')) ?? [];
  return Number.isSafeInteger(Number(sequence));
}

/** @param body not compressed */
function bodyFault({ name, input }: RefusedRequest['method'], body: Uint8Array, type: string): Fault {
  const where = `${name} body`;
  if (!type.startsWith('application/json')) {
    const actual = `${body.length} bytes that do not parse as one`;
    return { where, expected: `a ${input.typeName} message`, actual };
  }
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    const reason = (cause as Error).message.slice(0, 200);
    return { where, expected: 'JSON', actual: `text that is none (${reason})`, cause };
  }
  const fault = jsonFaultOf(input, json, name);
  if (fault !== undefined) return fault;
  const rivals = rivalsIn(input, json as object);
  return {
    where,
    expected: `a ${input.typeName}`,
    actual: 'a field twice, or two of which only one may be given',
    remedy: rivals.length === 0 ? 'proto/hyperpolicy/v1 has the fields' : `Give one of ${rivals.join(' and ')}`,
  };
}

type Fault = Omit<ErrorFields, 'kind'>;

const invalid = (fault: Fault): HttpRefusal => ({
  httpStatus: 400,
  code: 'invalid_argument',
  text: invalidArgument(fault).message,
});
