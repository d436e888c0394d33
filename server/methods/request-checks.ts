/** Checks that several methods make before they compute. */

import { randomInt } from 'node:crypto';
import { failedPrecondition, invalidArgument, quoted } from '../../src/contract/errors.ts';
import type { Tensor } from '../../src/gen/hyperpolicy/v1/tensor_pb.ts';
import { decodeRows, type Rows, repeatRow } from '../call/tensors.ts';
import type { ServedVersion } from '../models/served-version.ts';

const clientIdBytesMax = 256;

/**
 * @throws HyperpolicyError failed_precondition where the client's specs are not the model's (an empty fingerprint is not checked);
 *   invalid_argument where the client's name is too long
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
  // Characters first: a short text needs no count of its bytes.
  if (clientId.length * 3 <= clientIdBytesMax || Buffer.byteLength(clientId) <= clientIdBytesMax) return;
  throw invalidArgument({
    where: `${method} client_id`,
    expected: `at most ${clientIdBytesMax} bytes`,
    actual: `${Buffer.byteLength(clientId)}`,
  });
}

/** A part of a version. @throws HyperpolicyError failed_precondition where the model has none */
export function partOf<Part>(
  method: string,
  { model }: ServedVersion,
  { part, name, none = 'none' }: { readonly part: Part | null; readonly name: string; readonly none?: string },
): Part {
  if (part !== null) return part;
  const actual = `"${model}", which has ${none}`;
  throw failedPrecondition({ where: `${method} model`, expected: `a model with ${name}`, actual });
}

/** A field that has no meaning for this model. @throws HyperpolicyError invalid_argument where it is given */
export function refuseGiven(where: string, isGiven: boolean, reason: string): void {
  if (isGiven) throw invalidArgument({ where, expected: `none: ${reason}`, actual: 'one' });
}

/** Rows that may be one for all. @throws HyperpolicyError invalid_argument where there are neither one nor `rowCount` */
export function oneOrEach(rows: Rows, where: string, each: string, rowCount: number): Rows {
  if (rows.rowCount === 1 || rows.rowCount === rowCount) return rows;
  const expected = `one row, or one per ${each} (${rowCount})`;
  throw invalidArgument({ where, expected, actual: `${rows.rowCount} rows` });
}

/** The values of such rows, [B, ...]. */
export const eachRow = ({ values, rowCount }: Rows, wantedCount: number): Float32Array =>
  rowCount === 1 ? repeatRow(values, wantedCount) : values;

/** Of requests that take a context, or a handle in its place. */
export type ContextSource =
  | { readonly case: 'contextHandle'; readonly value: string }
  | { readonly case: 'context'; readonly value: Tensor }
  | { readonly case: undefined; readonly value?: undefined };

/**
 * The contexts of a request that has no handle; undefined where none is taken.
 * @param taker what takes contexts of `contextSize` values, 0 where it takes none
 * @throws HyperpolicyError invalid_argument as decodeRows, and for a context where none is taken
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

/** The seed of a request, or one that is drawn. @throws HyperpolicyError invalid_argument where it is not an exact number */
export function seedOf(method: string, seed: bigint | undefined): number {
  if (seed === undefined) return randomInt(2 ** 48 - 1);
  if (seed <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(seed);
  throw invalidArgument({ where: `${method} seed`, expected: 'an integer in [0, 2^53)', actual: `${seed}` });
}
