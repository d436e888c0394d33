/** Option values and how they are read; shared by the subcommands so that the same option is the same everywhere. */

import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { emptyStoreRemedy, failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import { writtenNumber } from '../../src/contract/written-number.ts';
import { unreadableNamed } from '../../src/package/listed-file.ts';
import { isAddress } from '../typescript/checks.ts';
import { createPolicyClient, type PolicyClient } from '../typescript/client.ts';
import type { ModelSelection } from '../typescript/request.ts';
import type { TlsOptions } from '../typescript/tls.ts';

/** A parser of integers in [low, high]. */
export function integerIn(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = writtenNumber(text);
    if (Number.isSafeInteger(value) && value >= low && value <= high) return value;
    throw new InvalidArgumentError(`Expected an integer from ${low} to ${high}`);
  };
}

/** A parser of numbers in [low, high]. */
export function numberIn(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = writtenNumber(text);
    if (value >= low && value <= high) return value;
    throw new InvalidArgumentError(`Expected a number from ${low} to ${high}`);
  };
}

/** `host:port`, with an IPv6 address in brackets: neither a URL nor a host alone, which gRPC would look for at port 443. */
export function parseAddress(text: string): string {
  if (isAddress(text)) return text;
  throw new InvalidArgumentError('Expected host:port, such as 127.0.0.1:50051 or [::1]:50051');
}

/** Rows of numbers: `1,2,3`, or JSON `[1,2,3]` or `[[1,2,3],[4,5,6]]`. */
export function parseRows(text: string): number[][] {
  const refuse = () => new InvalidArgumentError('Expected numbers: 1,2,3 or [1,2,3] or [[1,2,3],[4,5,6]]');
  let parsed: unknown;
  try {
    parsed = text.trimStart().startsWith('[') ? JSON.parse(text) : text.split(',').map(writtenNumber);
  } catch {
    throw refuse();
  }
  const list = parsed as unknown[];
  const rows = Array.isArray(list[0]) ? (list as unknown[][]) : [list];
  const good = rows.every((row) => Array.isArray(row) && row.every(Number.isFinite));
  if (!good || rows[0]!.length === 0) throw refuse();
  return rows as number[][];
}

/** `--context`: one row of {@link parseRows}. */
export function parseContext(text: string): number[] {
  const [row, ...more] = parseRows(text);
  if (more.length > 0) throw new InvalidArgumentError('Expected one row of numbers: 1,2,3');
  return row!;
}

export type ServerOptions = {
  readonly server: string;
  readonly timeoutMs: number;
  readonly token?: string;
  readonly tls?: boolean;
  readonly tlsAuthority?: string;
  readonly tlsCertificate?: string;
  readonly tlsKey?: string;
  readonly tlsServerName?: string;
  readonly httpProxy?: boolean;
};

/** The options of `withSecurityOptions`. */
export type SecurityOptions = Omit<ServerOptions, 'server' | 'timeoutMs'>;

/** What a client is made with. @throws HyperpolicyError not_found: a file of TLS cannot be read */
export function connectionOf({ server, timeoutMs, token, httpProxy = false, ...security }: ServerOptions) {
  const tls = tlsOf(security);
  return {
    address: server,
    timeoutMs,
    httpProxy,
    ...(token !== undefined && { token }),
    ...(tls !== undefined && { tls }),
  };
}

/** TLS is used if any of its options is given. */
function tlsOf({ tls, tlsAuthority, tlsCertificate, tlsKey, tlsServerName }: SecurityOptions): TlsOptions | undefined {
  const options = {
    ...(tlsAuthority !== undefined && { authority: readPem('--tls-authority', tlsAuthority) }),
    ...(tlsCertificate !== undefined && { certificate: readPem('--tls-certificate', tlsCertificate) }),
    ...(tlsKey !== undefined && { key: readPem('--tls-key', tlsKey) }),
    ...(tlsServerName !== undefined && { serverName: tlsServerName }),
  };
  return tls === true || Object.keys(options).length > 0 ? options : undefined;
}

function readPem(flag: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw unreadableNamed(`${flag} ${file}`, file, cause);
  }
}

/** The token, the options of TLS, and the proxy. */
export const withSecurityOptions = (command: Command): Command =>
  command
    .addOption(new Option('--token <token>', 'bearer token').env('HYPERPOLICY_TOKEN'))
    .option('--tls', 'connect with TLS; every other --tls option turns it on too')
    .option(
      '--tls-authority <file>',
      "authority (PEM) that signed the server's certificate; default: the system's authorities",
    )
    .option('--tls-certificate <file>', "the client's certificate (PEM), if the server asks for one; needs --tls-key")
    .option('--tls-key <file>', 'key (PEM) of --tls-certificate')
    .option('--tls-server-name <name>', "name in the server's certificate, if it differs from the address")
    .option(
      '--http-proxy',
      'connect through the proxy in https_proxy or http_proxy, except to localhost, loopback addresses and hosts in no_proxy',
    );

/** `--server`, `--timeout-ms` and those of security. */
export const withServerOptions = (command: Command): Command =>
  withSecurityOptions(command)
    .option('--server <host:port>', 'address of the server', parseAddress, '127.0.0.1:50051')
    .option('--timeout-ms <ms>', 'time to wait for each answer, 1 to 3600000', integerIn(1, 3_600_000), 5000);

/** `--model` and which version of it. */
export const withModelOptions = (command: Command): Command =>
  command
    .option('--model <name>', 'name of the model; may be left out if the server has only one')
    .addOption(
      new Option(
        '--model-version <number>',
        'number of a version; default: the newest ready one, or the one that the traffic split chooses',
      )
        .argParser(integerIn(1, 2 ** 32 - 1))
        .conflicts('label'),
    )
    .option('--label <label>', 'the version with this label');

/** `--context` or `--context-handle`. @param which what one row is for */
export const withContextOptions = (command: Command, which: string): Command =>
  command
    .addOption(new Option('--context <rows>', which).argParser(parseRows).conflicts('contextHandle'))
    .option(
      '--context-handle <handle>',
      'a handle from adapt (32 hexadecimal digits) in place of a context; it names the model too',
    );

export type ModelOptions = { readonly model?: string; readonly modelVersion?: number; readonly label?: string };

/**
 * The model and version that the options name. A context handle is of one model: with it the name may be left out.
 * @throws HyperpolicyError invalid_argument: no `--model`, and the server has none or several
 */
export async function selectionOf(
  client: PolicyClient,
  { model, modelVersion, label, contextHandle }: ModelOptions & { readonly contextHandle?: string },
): Promise<ModelSelection> {
  return {
    model: model ?? (contextHandle === undefined ? await onlyModel(client) : ''),
    ...(modelVersion !== undefined && { version: modelVersion }),
    ...(label !== undefined && { label }),
  };
}

async function onlyModel(client: PolicyClient): Promise<string> {
  const names = (await client.listModels()).map(({ model }) => model);
  if (names.length === 1) return names[0]!;
  if (names.length > 0)
    throw invalidArgument({ where: '--model', expected: `one of ${names.join(', ')}`, actual: 'none' });
  throw failedPrecondition({
    where: '--model',
    expected: 'a server with a model',
    actual: `${client.address}, which has none`,
    remedy: emptyStoreRemedy,
  });
}

/** A client for the length of `use`. */
export async function withClient<T>(options: ServerOptions, use: (client: PolicyClient) => Promise<T>): Promise<T> {
  const client = createPolicyClient(connectionOf(options));
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

/** One JSON value per call, on a line of its own. BigInts become numbers or, where too large, strings. */
export function printJson(value: unknown): void {
  const text = JSON.stringify(value, (key, field: unknown) => {
    if (key === '$typeName' || key === '$unknown') return undefined;
    if (typeof field === 'bigint') return Number.isSafeInteger(Number(field)) ? Number(field) : String(field);
    // JSON has no infinity; a bound that is not there is null.
    if (typeof field === 'number' && !Number.isFinite(field)) return null;
    return field;
  });
  process.stdout.write(`${text}\n`);
}

/** Rows of a tensor, as JSON shows them. */
export function rowsOf({ shape, values }: { readonly shape: readonly number[]; readonly values: Float32Array }) {
  if (shape.length < 2) return [...values];
  const columnCount = shape[1]!;
  return Array.from({ length: shape[0]! }, (_, row) => [
    ...values.subarray(row * columnCount, (row + 1) * columnCount),
  ]);
}
