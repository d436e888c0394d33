/**
 * Plans a graph for one row at a time: where each value lies in one flat memory, and which kernel calls make it. Sizes are known (one
 * row, one context), so reshapes and the choice of a row's context cost nothing.
 *
 * A graph is planned only if a row's result cannot depend on other rows: operators.ts has the operators.
 */

import { rowOperators } from './operators.ts';
import { NotByRow, type Place, type Planning, type Step, valueCountMax } from './planning.ts';
import { type ReadInput, type ReadModel, readModel } from './read-model.ts';
import { RowMemory } from './row-memory.ts';
import { boundedSizeOf } from './shapes.ts';

/** A tensor of a request or a context, and where one row of it lies. */
type PlacedTensor = { readonly name: string; readonly address: number; readonly size: number };

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

/** Of one row, about 20 ms. */
const workMax = 2 ** 28;
/** Nodes and kernel calls: networks have some hundred. */
const nodeCountMax = 2 ** 12;
const stepCountMax = 2 ** 16;

/**
 * @param model the bytes of an ONNX file
 * @param weightNames inputs that a primary generates, in the order in which a block has them
 * @throws NotByRow if the graph has an operator, a shape or an input that a row program has not
 */
export function planRows(model: Uint8Array, weightNames: readonly string[]): RowPlan {
  const { inputs, outputs, constants, nodes } = readModel(model);
  const planning = new GraphPlanning(inputs, constants, weightNames);
  const weights = planning.placeWeights();
  const rowInputs = inputs.filter(({ name, isFloat }) => isFloat && !weightNames.includes(name));
  for (const input of rowInputs) planning.placeInput(input);
  if (nodes.length > nodeCountMax) throw new NotByRow(`${nodes.length} nodes`);
  for (const node of nodes) {
    const plan = rowOperators[node.opType];
    if (plan === undefined) throw new NotByRow(`operator ${node.opType}`);
    plan(planning, node);
  }
  return {
    inputs: rowInputs.map(({ name }) => planning.placed(name)),
    outputs: outputs.map((name) => planning.placed(name)),
    weights,
    ...planning.program(),
  };
}

class GraphPlanning implements Planning {
  readonly #memory = new RowMemory();
  readonly #inputs: ReadonlyMap<string, ReadInput>;
  readonly #known: ReadModel['constants'];
  readonly #weightNames: readonly string[];
  readonly #places = new Map<string, Place>();
  readonly #integers = new Map<string, readonly number[]>();
  readonly #constants: { address: number; values: Float32Array }[] = [];
  readonly #steps: Step[] = [];
  #workPerRow = 0;
  #valuesPerRow = 0;

  constructor(inputs: readonly ReadInput[], known: ReadModel['constants'], weightNames: readonly string[]) {
    this.#inputs = new Map(inputs.map((input) => [input.name, input]));
    this.#known = known;
    this.#weightNames = weightNames;
    for (const [name, value] of known) if (value.kind === 'int') this.#integers.set(name, value.values);
  }

  /** @returns their block */
  placeWeights(): RowPlan['weights'] {
    const address = this.#memory.allot(0);
    for (const name of this.#weightNames) {
      const input = this.#inputs.get(name);
      if (input === undefined) throw new NotByRow(`an input "${name}"`);
      // Without gaps, so that a block is copied as it is.
      const at = this.#memory.allot(boundedSizeOf(input.shape), 4);
      this.#places.set(name, { address: at, shape: input.shape, hasRows: false });
    }
    return { address, size: (this.#memory.byteCount - address) / 4 };
  }

  placeInput({ name, symbol, shape }: ReadInput): void {
    if (symbol === undefined) throw new NotByRow(`input "${name}" without rows`);
    this.#places.set(name, { address: this.#memory.allot(boundedSizeOf(shape)), shape, hasRows: true });
  }

  placed(name: string): PlacedTensor {
    const { address, shape } = this.place(name);
    return { name, address, size: boundedSizeOf(shape) };
  }

  program(): Pick<RowPlan, 'constants' | 'steps' | 'workPerRow' | 'memoryBytes'> {
    return {
      constants: this.#constants,
      steps: this.#steps,
      workPerRow: Math.max(this.#workPerRow, this.#valuesPerRow),
      memoryBytes: this.#memory.byteCount,
    };
  }

  place(name: string | undefined): Place {
    const place = this.placeEitherWay(name);
    if (place.turned === true) throw new NotByRow('a transpose that no product reads');
    return place;
  }

  placeEitherWay(name = ''): Place {
    const place = this.#places.get(name);
    if (place !== undefined) return place;
    const value = this.#known.get(name);
    if (value?.kind !== 'float') throw new NotByRow(`"${name}" that is not float32`);
    const made = this.constant(value.values, value.shape);
    this.#places.set(name, made);
    return made;
  }

  integers(name = ''): readonly number[] | undefined {
    if (name === '') return undefined;
    const values = this.#integers.get(name);
    if (values === undefined) throw new NotByRow(`"${name}" that is not known`);
    boundedSizeOf(values);
    return values;
  }

  isInteger(name = ''): boolean {
    return this.#integers.has(name);
  }

  defineIntegers(name: string, values: readonly number[]): void {
    this.#integers.set(name, values);
  }

  isIndex(name = ''): boolean {
    return this.#inputs.get(name)?.isFloat === false;
  }

  isWeight(name = ''): boolean {
    return this.#weightNames.includes(name);
  }

  reserve(shape: readonly number[], from: readonly Place[]): Place {
    this.countReads(boundedSizeOf(shape));
    return { address: this.#memory.allot(boundedSizeOf(shape)), shape, hasRows: from.some(({ hasRows }) => hasRows) };
  }

  constant(values: Float32Array, shape: readonly number[]): Place {
    const address = this.#memory.allot(values.length);
    this.#constants.push({ address, values });
    return { address, shape, constant: values, hasRows: false };
  }

  define(name: string, place: Place): void {
    this.#places.set(name, place);
  }

  step(step: Step): void {
    if (this.#steps.push(step) > stepCountMax) throw new NotByRow(`${this.#steps.length} steps`);
  }

  countWork(multiplications: number): void {
    this.#workPerRow += multiplications;
    if (this.#workPerRow > workMax) throw new NotByRow(`${this.#workPerRow} multiplications`);
  }

  countReads(values: number): void {
    this.#valuesPerRow += values;
    if (!(this.#valuesPerRow <= valueCountMax)) throw new NotByRow(`${this.#valuesPerRow} values of one row`);
  }
}
