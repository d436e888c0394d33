/**
 * Computations over items: their memory, and a lane, which is what one thread needs to run them. ONNX Runtime takes no shared memory, so
 * a lane has arrays of its own for one item, and copies rows in and out. What it keeps of items (`steady` of ItemFunction) stays with it: an
 * item that another thread takes next time is computed anew there.
 */

import { sizeOf } from '../../src/contract/counts.ts';
import { mapValues } from '../../src/contract/records.ts';
import type {
  BoundInput,
  Computation,
  Engine,
  ItemArray,
  ItemComputations,
  ItemFunction,
  ItemsDefinition,
} from './engine.ts';
import { createKeptSlots } from './kept-slots.ts';

/** What a thread is told of the items; plain data. */
export type ItemsPlan = {
  readonly name: string;
  readonly itemCount: number;
  readonly arrays: Readonly<Record<string, ItemArray>>;
  readonly functions: Readonly<Record<string, ItemFunction>>;
  /** Those that share the items. */
  readonly threadCount: number;
  /** The most that they keep of steady inputs, all together; but each function has room for one item on each thread. */
  readonly keptBytesMax: number;
};

/** Steady inputs of an item are the same at the same place in the same epoch. */
export type SteadyPoint = { readonly place: number; readonly epoch: number };

export type ItemLane = {
  /** Runs a function for one item. */
  run(name: string, item: number, point: SteadyPoint): void;
  dispose(): void;
};

type Arrays = Readonly<Record<string, BoundInput>>;

/** A function that is ready for arrays. */
export type Program = {
  /** Names of the inputs that it reads. */
  readonly inputs: readonly string[];
  /** @returns a run that reads and writes these arrays; there may be several */
  bind(inputs: Arrays, outputs: Arrays): () => void;
  dispose(): void;
};

/** A function, and if it is split, what comes before it: its outputs, of these shapes, are made of steady inputs and are inputs of the rest. */
export type OpenedFunction = {
  readonly rest: Program;
  readonly steady?: (Program & { readonly shapes: Readonly<Record<string, readonly number[]>> }) | undefined;
};

export const lengthOf = (array: ItemArray): number => array.rowCount * sizeOf(array.shape);

/**
 * @param shared all rows of each array
 * @throws Error what `open` throws
 */
export function openLane(
  plan: ItemsPlan,
  shared: Readonly<Record<string, Float32Array>>,
  open: (name: string) => OpenedFunction,
): ItemLane {
  const { itemCount, arrays, functions } = plan;
  const columns = mapValues(arrays, (array, name) => openColumn(array, itemCount, shared[name]!));
  const opened = mapValues(functions, (_, name) => open(name));
  const slotCountMax = keptSlotCounts(plan, opened);
  const runs = mapValues(functions, ({ outputs }, name) =>
    bindItems(opened[name]!, { columns, outputs, itemCount, slotCountMax: slotCountMax[name]! }),
  );
  return {
    run: (name, item, point) => runs[name]!(item, point),
    dispose() {
      for (const { steady, rest } of Object.values(opened)) {
        steady?.dispose();
        rest.dispose();
      }
    },
  };
}

type Columns = Readonly<Record<string, ReturnType<typeof openColumn>>>;

/** Runs of a function for an item. */
function bindItems(
  { rest, steady }: OpenedFunction,
  {
    columns,
    outputs,
    itemCount,
    slotCountMax,
  }: {
    readonly columns: Columns;
    readonly outputs: readonly string[];
    readonly itemCount: number;
    readonly slotCountMax: number;
  },
): (item: number, point: SteadyPoint) => void {
  const own = mapValues(columns, (column) => column.own);
  const results = Object.fromEntries(outputs.map((name) => [name, own[name]!]));
  const take = ({ inputs }: Program, item: number) => {
    for (const input of inputs) columns[input]?.take(item);
  };
  const give = (item: number) => {
    for (const output of outputs) columns[output]!.give(item);
  };
  if (steady === undefined) {
    const run = rest.bind(own, results);
    return (item) => {
      take(rest, item);
      run();
      give(item);
    };
  }
  const slots = createKeptSlots(() => {
    const kept = mapValues(steady.shapes, (shape) => ({ shape, data: new Float32Array(sizeOf(shape)) }));
    return { fill: steady.bind(own, kept), run: rest.bind({ ...own, ...kept }, results) };
  }, slotCountMax);
  return (item, { place, epoch }) => {
    const slot = slots.take(place * itemCount + item, epoch, ({ fill }) => {
      take(steady, item);
      fill();
    });
    take(rest, item);
    slot.run();
    give(item);
  };
}

/** Room beyond a thread's equal share, as threads do not always do equal shares. */
const unevenness = 1.25;

/** The most slots of each function in one lane: one, without which it could not run, and as many more as the bound has room for. */
function keptSlotCounts(
  { itemCount, functions, threadCount, keptBytesMax }: ItemsPlan,
  opened: Readonly<Record<string, OpenedFunction>>,
): Record<string, number> {
  const wanted = mapValues(functions, ({ placeCount = 1 }) =>
    Math.ceil((unevenness * itemCount * placeCount) / threadCount),
  );
  const bytesOf = (countOf: (name: string) => number) =>
    Object.entries(opened).reduce((sum, [name, { steady }]) => {
      const sizes = Object.values(steady?.shapes ?? {}).map(sizeOf);
      return sum + threadCount * countOf(name) * sizes.reduce((bytes, size) => bytes + 4 * size, 0);
    }, 0);
  if (bytesOf((name) => wanted[name]!) <= keptBytesMax) return wanted;
  const room = Math.max(0, keptBytesMax - bytesOf(() => 1));
  const wantedBeyondOne = bytesOf((name) => wanted[name]! - 1);
  const part = wantedBeyondOne === 0 ? 0 : room / wantedBeyondOne;
  return mapValues(wanted, (count) => 1 + Math.floor(part * (count - 1)));
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
 * Items in the engine's own way, or one after the other, without keeping anything.
 * @throws Error if items do not share the rows of an array evenly, several write one row, or a steady input is none
 */
export function compileItems<Name extends string>(
  engine: Engine,
  definition: ItemsDefinition<Name>,
): ItemComputations<Name> {
  checkRows(definition);
  checkSteady(definition);
  return engine.compileItems?.(definition) ?? itemsInTurn(engine, definition);
}

function checkRows({ name: group, itemCount, arrays, functions }: ItemsDefinition<string>): void {
  for (const [name, { rowCount }] of Object.entries(arrays)) {
    const where = `${group}: array "${name}"`;
    if (itemCount % rowCount !== 0)
      throw new Error(`${where}: expected rows for equal parts of ${itemCount} items, got ${rowCount}`);
    const isWritten = Object.values(functions).some(({ outputs }) => outputs.includes(name));
    if (isWritten && rowCount !== itemCount)
      throw new Error(`${where}: expected a row for each of ${itemCount} items, as it is written, got ${rowCount}`);
  }
}

function checkSteady({ name: group, functions }: ItemsDefinition<string>): void {
  for (const [name, { inputs, steady = [] }] of Object.entries(functions)) {
    const unknown = steady.find((input) => !inputs.includes(input));
    if (unknown !== undefined)
      throw new Error(`${group}-${name}: expected steady inputs among its inputs, got "${unknown}"`);
  }
}

/** @throws Error: a function or a place that the definition does not have */
export function checkRun(
  { name: group, functions }: Pick<ItemsPlan, 'name' | 'functions'>,
  name: string,
  place: number,
): void {
  if (!Object.hasOwn(functions, name))
    throw new Error(`${group}: expected one of ${Object.keys(functions).join(', ')}, got "${name}"`);
  const { placeCount = 1 } = functions[name]!;
  if (!(Number.isInteger(place) && place >= 0 && place < placeCount))
    throw new Error(`${group}-${name}: expected a place from 0 to ${placeCount - 1}, got ${place}`);
}

function itemsInTurn<Name extends string>(
  engine: Pick<Engine, 'compile'>,
  definition: ItemsDefinition<Name>,
): ItemComputations<Name> {
  const { name: group, itemCount, functions } = definition;
  const arrays = mapValues(definition.arrays, (array) => new Float32Array(lengthOf(array)));
  const open = (name: string) => ({ rest: programOf(engine, `${group}-${name}`, functions[name as Name]) });
  const lane = openLane({ ...definition, threadCount: 1, keptBytesMax: 0 }, arrays, open);
  return {
    arrays,
    run(name, place = 0) {
      checkRun(definition, name, place);
      for (let item = 0; item < itemCount; item++) lane.run(name, item, { place: 0, epoch: 0 });
    },
    renew() {},
    dispose: () => lane.dispose(),
  };
}

/** A function as the engine computes it. */
function programOf(
  engine: Pick<Engine, 'compile'>,
  name: string,
  { inputs: names, fn }: ItemsDefinition<string>['functions'][string],
): Program {
  const computations: Computation[] = [];
  return {
    inputs: names,
    bind(arrays, results) {
      const inputs = Object.fromEntries(names.map((input) => [input, arrays[input]!]));
      const outputs = mapValues(results, ({ data }) => data);
      const computation = engine.compile({ name, inputs, outputs, fn });
      computations.push(computation);
      return () => computation.run();
    },
    dispose() {
      for (const computation of computations) computation.dispose();
    },
  };
}
