/** How training computations run: the same tfjs functions, traced to ONNX or eagerly on a tfjs backend. */

import type { Session } from '../../src/onnx/session.ts';
import type { TracedFunction } from '../../src/trace/trace.ts';

export type BoundInput = { readonly shape: readonly number[]; readonly data: Float32Array };

/**
 * A computation over fixed arrays: every run reads its inputs from the same memory and writes its outputs to the same memory.
 * So a run allocates nothing and copies no parameters.
 */
export type ComputationDefinition = {
  readonly name: string;
  readonly inputs: Readonly<Record<string, BoundInput>>;
  /** Receives each output of `fn`, row-major; the sizes must agree. */
  readonly outputs: Readonly<Record<string, Float32Array>>;
  readonly fn: TracedFunction;
};

export type Computation = {
  run(): void;
  dispose(): void;
};

/**
 * A computation that begins with its former result, repeated several times in one run. If it runs on a device, the state
 * stays there between the passes.
 */
type RepeatedDefinition = {
  readonly name: string;
  /** Passes of one run. */
  readonly passCount: number;
  /** Read at the begin of a run and written at its end, by name. */
  readonly state: Readonly<Record<string, BoundInput>>;
  /** The input of each pass: the shape is that of one pass, the array has all passes, one after the other. */
  readonly slices: Readonly<Record<string, BoundInput>>;
  /** From state and slices to the state after the pass, under the names of the state. */
  readonly pass: TracedFunction;
};

/** An array with a row for each item, or one for several items in a row: as many for each. */
export type ItemArray = { readonly rowCount: number; readonly shape: readonly number[] };

/** A function of one item: it reads rows of some arrays and writes rows of others. */
export type ItemFunction = {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /**
   * Inputs that only change before a `renew`: an engine may keep what follows from them alone, from one run to the next. None unless given.
   */
  readonly steady?: readonly string[] | undefined;
  /** How many sets of steady inputs are in use by turns; at least 1, which it is unless given. */
  readonly placeCount?: number | undefined;
};

/**
 * Computations that run for each of many items by itself, over arrays of all items. Several threads may take items, so an array
 * that a function writes has a row for each.
 */
export type ItemsDefinition<Name extends string> = {
  readonly name: string;
  readonly itemCount: number;
  readonly arrays: Readonly<Record<string, ItemArray>>;
  /** The names of their inputs and outputs are those of arrays. */
  readonly functions: Readonly<Record<Name, ItemFunction & { readonly fn: TracedFunction }>>;
};

export type ItemComputations<Name extends string> = {
  /** [rowCount, ...shape], row-major, zeros at first. The caller writes and reads them between runs. */
  readonly arrays: Readonly<Record<string, Float32Array>>;
  /**
   * One function for all items. The results do not depend on the number of threads, nor on what is kept.
   * @param place which set of steady inputs the arrays hold, below the function's `placeCount`; 0 unless given
   * @throws Error: a function or a place that there is not; what a function throws
   */
  run(name: Name, place?: number): void;
  /** Steady inputs have changed, or will before the next run. */
  renew(): void;
  dispose(): void;
};

/** A device, and those that `auto` tried before it. */
export type TakenDevice = Pick<Session, 'device' | 'skipped'>;

export type Engine = {
  readonly name: string;
  /**
   * Each device that a computation was compiled for, in the order of the first; computations that are too small for any are not in it. Only of
   * engines that take a device.
   */
  readonly devices?: readonly TakenDevice[];
  compile(definition: ComputationDefinition): Computation;
  compileRepeated(definition: RepeatedDefinition): Computation;
  /** Only of engines with a way of their own; undefined where they, as others, compute items in turn. See `compileItems` of items.ts. */
  compileItems?<Name extends string>(definition: ItemsDefinition<Name>): ItemComputations<Name> | undefined;
};

/** Inputs for a network's parameters under `prefix.`. */
export const boundParameters = (
  prefix: string,
  views: Readonly<Record<string, Float32Array>>,
  shapes: Readonly<Record<string, readonly number[]>>,
): Record<string, BoundInput> =>
  Object.fromEntries(
    Object.entries(views).map(([name, data]) => [`${prefix}.${name}`, { data, shape: shapes[name]! }]),
  );
