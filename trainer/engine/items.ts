/**
 * Computations over items: their memory, and a lane, which is what one thread needs to run them. ONNX Runtime takes no shared memory, so
 * a lane has arrays of its own for one item; it copies rows in and out.
 */

import { sizeOf } from '../../src/onnx/graph.ts';
import type {
  BoundInput,
  Computation,
  Engine,
  ItemArray,
  ItemComputations,
  ItemFunction,
  ItemsDefinition,
} from './engine.ts';

/** What a thread is told of the items; plain data. */
export type ItemsPlan = {
  readonly name: string;
  readonly itemCount: number;
  readonly arrays: Readonly<Record<string, ItemArray>>;
  readonly functions: Readonly<Record<string, ItemFunction>>;
};

export type ItemLane = {
  /** Runs a function for one item. */
  run(name: string, item: number): void;
  dispose(): void;
};

type Compile = (
  name: string,
  inputs: Readonly<Record<string, BoundInput>>,
  outputs: Readonly<Record<string, BoundInput>>,
) => Computation;

export const lengthOf = (array: ItemArray): number => array.rowCount * sizeOf(array.shape);

/** @param shared all rows of each array */
export function openLane(
  { itemCount, arrays, functions }: ItemsPlan,
  shared: Readonly<Record<string, Float32Array>>,
  compile: Compile,
): ItemLane {
  const columns = Object.fromEntries(
    Object.entries(arrays).map(([name, array]) => [name, openColumn(array, itemCount, shared[name]!)]),
  );
  const own = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, columns[name]!.own]));
  const runs = Object.fromEntries(
    Object.entries(functions).map(([name, { inputs, outputs }]) => [name, compile(name, own(inputs), own(outputs))]),
  );
  return {
    run(name, item) {
      const { inputs, outputs } = functions[name]!;
      for (const input of inputs) columns[input]!.take(item);
      runs[name]!.run();
      for (const output of outputs) columns[output]!.give(item);
    },
    dispose() {
      for (const computation of Object.values(runs)) computation.dispose();
    },
  };
}

/** One array as a lane sees it: its own memory for the row of an item. */
function openColumn(array: ItemArray, itemCount: number, shared: Float32Array) {
  const size = sizeOf(array.shape);
  const itemsPerRow = itemCount / array.rowCount;
  const data = new Float32Array(size);
  const row = (item: number) => {
    const first = Math.floor(item / itemsPerRow) * size;
    return shared.subarray(first, first + size);
  };
  return {
    own: { shape: array.shape, data },
    take: (item: number) => data.set(row(item)),
    give: (item: number) => row(item).set(data),
  };
}

/**
 * Items in the engine's own way, or one after the other.
 * @throws Error if items do not share the rows of an array evenly, or several write one row
 */
export function compileItems<Name extends string>(
  engine: Engine,
  definition: ItemsDefinition<Name>,
): ItemComputations<Name> {
  checkRows(definition);
  return engine.compileItems?.(definition) ?? itemsInTurn(engine, definition);
}

function checkRows({ name: group, itemCount, arrays, functions }: ItemsPlan): void {
  for (const [name, { rowCount }] of Object.entries(arrays)) {
    const where = `${group}: array "${name}"`;
    if (itemCount % rowCount !== 0)
      throw new Error(`${where}: expected rows for equal parts of ${itemCount} items, got ${rowCount}`);
    const isWritten = Object.values(functions).some(({ outputs }) => outputs.includes(name));
    if (isWritten && rowCount !== itemCount)
      throw new Error(`${where}: expected a row for each of ${itemCount} items, as it is written, got ${rowCount}`);
  }
}

function itemsInTurn<Name extends string>(
  engine: Pick<Engine, 'compile'>,
  definition: ItemsDefinition<Name>,
): ItemComputations<Name> {
  const { name: group, itemCount, functions } = definition;
  const arrays = Object.fromEntries(
    Object.entries(definition.arrays).map(([name, array]) => [name, new Float32Array(lengthOf(array))]),
  );
  const lane = openLane(definition, arrays, (name, inputs, outputs) =>
    engine.compile({
      name: `${group}-${name}`,
      inputs,
      outputs: Object.fromEntries(Object.entries(outputs).map(([output, { data }]) => [output, data])),
      fn: functions[name as Name].fn,
    }),
  );
  return {
    arrays,
    run(name) {
      for (let item = 0; item < itemCount; item++) lane.run(name, item);
    },
    dispose: () => lane.dispose(),
  };
}
