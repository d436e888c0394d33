/** Checks of requests that several methods share. */

import { randomInt } from 'node:crypto';
import { failedPrecondition, invalidArgument, quoted } from '../../src/contract/errors.ts';
import type { Tensor } from '../../src/gen/hyperpolicy/v1/tensor_pb.ts';
import { decodeRows, type Rows, repeatRow } from '../call/tensors.ts';
import type { ServedVersion } from '../models/served-version.ts';

const clientIdBytesMax = 256;

/**
 * @throws HyperpolicyError failed_precondition if the client's specs are not the model's (an empty fingerprint is not checked);
 *   invalid_argument if the client's id is too long
 */
export function checkClient(
  method: string,
  { model, manifest }: ServedVersion,
  { fingerprint, clientId }: { readonly fingerprint: string; readonly clientId: string },
): void {
  if (fingerprint !== '' && fingerprint !== manifest.fingerprint) {
    throw failedPrecondition({
      where: `${method} fingerprint`,
      expected: `${manifest.fingerprint} of model "${model}"`,
      actual: quoted(fingerprint),
      remedy: 'The specs differ: read them again with GetModel',
    });
  }
  // The bytes of a short text need not be counted.
  if (clientId.length * 3 <= clientIdBytesMax || Buffer.byteLength(clientId) <= clientIdBytesMax) return;
  throw invalidArgument({
    where: `${method} client_id`,
    expected: `at most ${clientIdBytesMax} bytes`,
    actual: `${Buffer.byteLength(clientId)}`,
  });
}

/** @returns the part of a version. @throws HyperpolicyError failed_precondition if the model has none */
export function partOf<Part>(
  method: string,
  { model }: ServedVersion,
  { part, name, none = 'none' }: { readonly part: Part | null; readonly name: string; readonly none?: string },
): Part {
  if (part !== null) return part;
  const actual = `"${model}", which has ${none}`;
  throw failedPrecondition({ where: `${method} model`, expected: `a model with ${name}`, actual });
}

/** For a field that has no meaning for this model. @throws HyperpolicyError invalid_argument if it is given */
export function refuseGiven(where: string, isGiven: boolean, reason: string): void {
  if (isGiven) throw invalidArgument({ where, expected: `none: ${reason}`, actual: 'one' });
}

/** One row for all, or one for each. @throws HyperpolicyError invalid_argument if there are neither one nor `rowCount` */
export function oneOrEach(rows: Rows, where: string, each: string, rowCount: number): Rows {
  if (rows.rowCount === 1 || rows.rowCount === rowCount) return rows;
  const expected = `one row, or one per ${each} (${rowCount})`;
  throw invalidArgument({ where, expected, actual: `${rows.rowCount} rows` });
}

/** The values of such rows, one row for each, [B, ...]. */
export const eachRow = ({ values, rowCount }: Rows, wantedCount: number): Float32Array =>
  rowCount === 1 ? repeatRow(values, wantedCount) : values;

/** A request's context, or a handle instead. */
export type ContextSource =
  | { readonly case: 'contextHandle'; readonly value: string }
  | { readonly case: 'context'; readonly value: Tensor }
  | { readonly case: undefined; readonly value?: undefined };

/**
 * The contexts of a request without a handle; undefined if `taker` takes none.
 * @param taker takes contexts of `contextSize` values; 0 if it takes none
 * @throws HyperpolicyError invalid_argument as decodeRows, or if a context is given and none is taken
 */
export function readContexts(
  method: string,
  source: ContextSource,
  taker: {
    readonly name: string;
    readonly model: string;
    readonly contextSize: number;
    readonly rowCountMax: number;
    readonly alternative?: string | undefined;
  },
): Rows | undefined {
  const { name, contextSize, ...rule } = taker;
  const where = `${method} context`;
  if (contextSize > 0) {
    const tensor = source.case === 'context' ? source.value : undefined;
    return decodeRows(tensor, { where, columnCount: contextSize, ...rule });
  }
  refuseGiven(where, source.case !== undefined, `${name} takes no context`);
  return undefined;
}

/** The seed of a request, or a random one. @throws HyperpolicyError invalid_argument if it is 2^53 or more */
export function seedOf(method: string, seed: bigint | undefined): number {
  if (seed === undefined) return randomInt(2 ** 48 - 1);
  if (seed <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(seed);
  throw invalidArgument({ where: `${method} seed`, expected: 'an integer in [0, 2^53)', actual: `${seed}` });
}
