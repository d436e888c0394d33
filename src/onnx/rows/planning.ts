/** What an operator sees while a row program is planned, and what it leaves behind. */

import type { RowKernels } from './kernels.ts';

/** Values in the memory. */
export type Place = {
  /** Bytes; a multiple of 4. */
  readonly address: number;
  readonly shape: readonly number[];
  /** Where they are known. */
  readonly constant?: Float32Array;
};

/** A call of a kernel, once the memory is there. */
export type Step = (kernels: RowKernels) => () => void;

/** Why a graph cannot be planned. */
export class NotByRow extends Error {}

/** What an operator sees while it is planned. */
export type Planning = {
  /** @throws NotByRow where the input is absent or no float32 tensor */
  place(name: string | undefined): Place;
  /** The integers of a constant; undefined where the input is absent. @throws NotByRow where it is not a constant */
  integers(name: string | undefined): readonly number[] | undefined;
  /** Whether the name is the row -> context input. */
  isIndex(name: string | undefined): boolean;
  isWeight(name: string | undefined): boolean;
  /** Reserves room for a value. */
  reserve(shape: readonly number[]): Place;
  constant(values: Float32Array, shape: readonly number[]): Place;
  define(name: string, place: Place): void;
  step(step: Step): void;
  countWork(multiplications: number): void;
};
