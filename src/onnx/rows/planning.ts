/** What an operator sees while a row program is planned, and what it leaves behind. */

import type { RowKernels } from './kernels.ts';

/** Values in the memory. */
export type Place = {
  /** Bytes; a multiple of 4. */
  readonly address: number;
  readonly shape: readonly number[];
  /** Where they are known. */
  readonly constant?: Float32Array;
  /** They differ from row to row: the first axis is that of the rows, here of one. */
  readonly hasRows: boolean;
  /** The values lie with the last two axes the other way round. */
  readonly turned?: boolean;
};

/** A call of a kernel, once the memory is there. */
export type Step = (kernels: RowKernels) => () => void;

/** Why a graph cannot be planned. */
export class NotByRow extends Error {}

/** Values that one row may make, and read to be summed. */
export const valueCountMax = 2 ** 22;

/** What an operator sees while it is planned. */
export type Planning = {
  /** @throws NotByRow if the input is absent, no float32 tensor, or turned */
  place(name: string | undefined): Place;
  /** The same, turned or not. */
  placeEitherWay(name: string | undefined): Place;
  /** Known integers; undefined if the input is absent. @throws NotByRow if they are not known */
  integers(name: string | undefined): readonly number[] | undefined;
  isInteger(name: string | undefined): boolean;
  defineIntegers(name: string, values: readonly number[]): void;
  /** Whether the name is the row -> context input. */
  isIndex(name: string | undefined): boolean;
  isWeight(name: string | undefined): boolean;
  /** Reserves room for a value that is made from these. */
  reserve(shape: readonly number[], from: readonly Place[]): Place;
  constant(values: Float32Array, shape: readonly number[]): Place;
  define(name: string, place: Place): void;
  step(step: Step): void;
  countWork(multiplications: number): void;
  /** Values that are read to make few. */
  countReads(values: number): void;
};
