/**
 * Plans a graph for one row at a time: where each value lies in one flat memory, and which kernel calls make it. Sizes are known
 * (one row, one context), so reshapes and the choice of a row's context cost nothing.
 *
 * A graph is planned only where a row's result cannot depend on the rows beside it; which operators that are is operators.ts.
 */

import { firstAddress } from './kernels.ts';
import { rowOperators } from './operators.ts';
import { NotByRow, type Place, type Planning, type Step, valueCountMax } from './planning.ts';
import { type ReadInput, readModel } from './read-model.ts';
import { sizeOf } from './shapes.ts';

/** A tensor of a request or a context, and where one row of it lies. */
export type PlacedTensor = { readonly name: string; readonly address: number; readonly size: number };

export type RowPlan = {
  readonly memoryBytes: number;
  readonly constants: readonly { readonly address: number; readonly values: Float32Array }[];
  readonly inputs: readonly PlacedTensor[];
  /** Generated weights: one block, its parts in the order asked for. */
  readonly weights: { readonly address: number; readonly size: number };
  readonly outputs: readonly PlacedTensor[];
  readonly steps: readonly Step[];
  /** For one row: multiplications of all products, or values that are made and summed where those are more. */
  readonly workPerRow: number;
};

/** Values begin at cache lines. */
const lineBytes = 64;

/**
 * Whoever plans a graph need not know where it comes from: a file of some hundred bytes may ask for any amount of memory. Of weights,
 * constants and values together, 256 MiB; nodes and kernel calls, of which networks have some hundred.
 */
const memoryCountMax = 2 ** 26;
const nodeCountMax = 2 ** 12;
const stepCountMax = 2 ** 16;
/** Of one row, about 20 ms. */
const workMax = 2 ** 28;

/**
 * @param model the bytes of an ONNX file
 * @param weightNames inputs that a primary generates, in the order in which a block has them
 * @throws NotByRow where the graph has an operator, a shape or an input that a row program has not
 */
export function planRows(model: Uint8Array, weightNames: readonly string[]): RowPlan {
  const { inputs, outputs, constants: known, nodes } = readModel(model);
  const places = new Map<string, Place>();
  const constants: { address: number; values: Float32Array }[] = [];
  const steps: Step[] = [];
  let end = firstAddress;
  let workPerRow = 0;
  let valuesPerRow = 0;

  const countReads = (values: number): void => {
    valuesPerRow += values;
    if (!(valuesPerRow <= valueCountMax)) throw new NotByRow(`${valuesPerRow} values of one row`);
  };
  const allot = (size: number, boundary = lineBytes): number => {
    const address = Math.ceil(end / boundary) * boundary;
    if (!(size >= 0 && address / 4 + size <= memoryCountMax)) throw new NotByRow(`room for ${size} values`);
    end = address + size * 4;
    return address;
  };
  const constant = (values: Float32Array, shape: readonly number[]): Place => {
    const address = allot(values.length);
    constants.push({ address, values });
    return { address, shape, constant: values, hasRows: false };
  };

  const byName = new Map(inputs.map((input) => [input.name, input]));
  const weightsAddress = allot(0);
  for (const name of weightNames) {
    const input = byName.get(name);
    if (input === undefined) throw new NotByRow(`an input "${name}"`);
    // Without gaps, so that a block is copied as it is.
    places.set(name, { address: allot(sizeOf(input.shape), 4), shape: input.shape, hasRows: false });
  }
  const weights = { address: weightsAddress, size: (end - weightsAddress) / 4 };
  const rowInputs = inputs.filter(({ name, isFloat }) => isFloat && !weightNames.includes(name));
  for (const input of rowInputs) {
    if (input.symbol === undefined) throw new NotByRow(`input "${input.name}" without rows`);
    places.set(input.name, { address: allot(sizeOf(input.shape)), shape: input.shape, hasRows: true });
  }

  const integers = new Map<string, readonly number[]>();
  for (const [name, value] of known) if (value.kind === 'int') integers.set(name, value.values);
  function placeEitherWay(name = ''): Place {
    const place = places.get(name);
    if (place !== undefined) return place;
    const value = known.get(name);
    if (value?.kind !== 'float') throw new NotByRow(`"${name}" that is not float32`);
    const made = constant(value.values, value.shape);
    places.set(name, made);
    return made;
  }
  const planning: Planning = {
    placeEitherWay,
    place(name) {
      const place = placeEitherWay(name);
      if (place.turned === true) throw new NotByRow('a transpose that no product reads');
      return place;
    },
    integers(name = '') {
      if (name === '') return undefined;
      const values = integers.get(name);
      if (values === undefined) throw new NotByRow(`"${name}" that is not known`);
      sizeOf(values);
      return values;
    },
    isInteger: (name = '') => integers.has(name),
    defineIntegers: (name, values) => integers.set(name, values),
    isIndex: (name = '') => isRowIndex(byName.get(name)),
    isWeight: (name = '') => weightNames.includes(name),
    reserve(shape, from) {
      countReads(sizeOf(shape));
      return { address: allot(sizeOf(shape)), shape, hasRows: from.some(({ hasRows }) => hasRows) };
    },
    countReads,
    constant,
    define: (name, place) => places.set(name, place),
    step(step) {
      if (steps.push(step) > stepCountMax) throw new NotByRow(`${steps.length} steps`);
    },
    countWork(multiplications) {
      workPerRow += multiplications;
      if (workPerRow > workMax) throw new NotByRow(`${workPerRow} multiplications`);
    },
  };
  if (nodes.length > nodeCountMax) throw new NotByRow(`${nodes.length} nodes`);
  for (const node of nodes) {
    const plan = rowOperators[node.opType];
    if (plan === undefined) throw new NotByRow(`operator ${node.opType}`);
    plan(planning, node);
  }
  const placed = (name: string): PlacedTensor => {
    const { address, shape } = planning.place(name);
    return { name, address, size: sizeOf(shape) };
  };
  return {
    inputs: rowInputs.map(({ name }) => placed(name)),
    outputs: outputs.map(placed),
    weights,
    constants,
    steps,
    workPerRow: Math.max(workPerRow, valuesPerRow),
    memoryBytes: end,
  };
}

const isRowIndex = (input: ReadInput | undefined): boolean => input !== undefined && !input.isFloat;
