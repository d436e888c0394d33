/**
 * What a client is told of a request that Connect's library refuses before a handler sees it. The library's own words lack the field or
 * what was expected, and some of them put a client's fault on the server; here they get the form of every other error.
 */

import type { DescMethod } from '@bufbuild/protobuf';
import { compressionBrotli, compressionGzip } from '@connectrpc/connect-node';
import { type ErrorFields, invalidArgument, quoted, resourceExhausted } from '../../src/contract/errors.ts';
import { jsonFaultOf } from './json-faults.ts';

/** How bodies may be compressed. */
export const acceptCompression = [compressionGzip, compressionBrotli];

export type RefusedRequest = {
  readonly method: Pick<DescMethod, 'name' | 'input'>;
  readonly header: Headers;
  /** As it came. */
  readonly body: Uint8Array;
  readonly bytesMax: number;
};

/** An answer as the protocol has it. */
export type HttpRefusal = { readonly httpStatus: number; readonly code: string; readonly text: string };

/**
 * @param httpStatus what the library answers
 * @returns undefined where its words stand: another content type or HTTP method, a client that has left
 */
export async function refusalOf(httpStatus: number, request: RefusedRequest): Promise<HttpRefusal | undefined> {
  const { method, header, bytesMax } = request;
  const where = method.name;
  if (httpStatus === 429) {
    const { message } = resourceExhausted({
      where: `${where} body`,
      expected: `at most ${bytesMax} bytes`,
      actual: 'more',
    });
    return { httpStatus, code: 'resource_exhausted', text: message };
  }
  const compression = header.get('content-encoding');
  const known = acceptCompression.find(({ name }) => name === compression);
  if (compression !== null && compression !== 'identity' && known === undefined) {
    const expected = acceptCompression.map(({ name }) => name).join(' or ');
    const { message } = invalidArgument({ where: `${where} content-encoding`, expected, actual: quoted(compression) });
    return { httpStatus: 501, code: 'unimplemented', text: message };
  }
  if (httpStatus !== 400 && httpStatus !== 500) return undefined;
  const timeout = header.get('connect-timeout-ms');
  if (timeout !== null && !/^\d{1,10}$/.test(timeout)) {
    const expected = 'milliseconds in at most 10 digits';
    return invalid({ where: `${where} connect-timeout-ms`, expected, actual: quoted(timeout) });
  }
  let body: Uint8Array;
  try {
    body = (await known?.decompress(request.body as Uint8Array<ArrayBuffer>, bytesMax)) ?? request.body;
  } catch (cause) {
    const actual = 'bytes that do not decompress';
    return invalid({ where: `${where} body`, expected: `${known!.name} data`, actual, cause });
  }
  return bodyFault(method, body, header.get('content-type') ?? '');
}

/** @param body not compressed */
function bodyFault({ name, input }: RefusedRequest['method'], body: Uint8Array, type: string): HttpRefusal {
  const where = `${name} body`;
  if (!type.startsWith('application/json')) {
    const expected = `a ${input.typeName} message`;
    return invalid({ where, expected, actual: `${body.length} bytes that do not parse as one` });
  }
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    const reason = (cause as Error).message.slice(0, 200);
    return invalid({ where, expected: 'JSON', actual: `text that is none (${reason})`, cause });
  }
  const fault = jsonFaultOf(input, json, name);
  if (fault !== undefined) return invalid(fault);
  return invalid({
    where,
    expected: `a ${input.typeName}`,
    actual: 'a field twice, or two of which only one may be given',
    remedy: 'proto/hyperpolicy/v1 has the fields',
  });
}

const invalid = (fields: Omit<ErrorFields, 'kind'>): HttpRefusal => ({
  httpStatus: 400,
  code: 'invalid_argument',
  text: invalidArgument(fields).message,
});
