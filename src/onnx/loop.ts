/**
 * A graph that runs another one several times: ONNX's `Loop`. What a pass makes of its state is what the next pass begins with, so on a
 * device nothing of it moves between passes.
 */

import { dense } from './builder.ts';
import type { Graph, NamedValue, Node, Value } from './graph.ts';

/** The name of a state's value after the last pass. */
export const afterPasses = (name: string): string => `after.${name}`;

/**
 * The graph of `count` passes. Its inputs are the state at its begin and, for what is sliced, all slices: [count, ...]. Its outputs are the
 * state at its end, under the names of {@link afterPasses}.
 * @param pass one pass: its inputs are the state and the slices, its outputs the state, under the names of its inputs. It is not read after:
 *   its values become part of the result
 * @param slices names of inputs that differ from pass to pass
 * @throws Error if state goes in that does not come out, comes out that did not go in, or changes its shape
 */
export function repeated(pass: Graph, count: number, slices: ReadonlySet<string>): Graph {
  const state = pass.inputs.filter(({ name }) => !slices.has(name));
  const results = resultsOf(pass, state);
  const iteration: Value = { dtype: 'int64', shape: [] };
  const condition: Value = { dtype: 'bool', shape: [] };
  const wholes: NamedValue[] = [];
  const gathers: Node[] = [];
  for (const { name, value } of pass.inputs) {
    if (!slices.has(name)) continue;
    const whole: Value = { dtype: value.dtype, shape: [count, ...value.shape] };
    wholes.push({ name, value: whole });
    gathers.push({ op: 'Gather', inputs: [whole, iteration], outputs: [value], attributes: { axis: { int: 0 } } });
  }
  const body: Graph = {
    name: `${pass.name}-pass`,
    inputs: [
      { name: 'pass.iteration', value: iteration },
      { name: 'pass.condition', value: condition },
      ...state.map(({ name, value }) => ({ name: `pass.${name}`, value })),
    ],
    outputs: [
      { name: 'passed.condition', value: condition },
      ...state.map(({ name }, i) => ({ name: `passed.${name}`, value: results[i]! })),
    ],
    nodes: [...gathers, ...pass.nodes],
    symbols: pass.symbols,
  };
  const [before, after] = [state.map(({ value }) => alike(value)), state.map(({ value }) => alike(value))];
  const passCount = dense(BigInt64Array.of(BigInt(count)), 'int64', []);
  const loop: Node = {
    op: 'Loop',
    inputs: [passCount, undefined, ...before],
    outputs: after,
    attributes: { body: { graph: body } },
  };
  return {
    name: pass.name,
    inputs: [...state.map(({ name }, i) => ({ name, value: before[i]! })), ...wholes],
    outputs: state.map(({ name }, i) => ({ name: afterPasses(name), value: after[i]! })),
    nodes: [loop],
    symbols: pass.symbols,
  };
}

/** What a pass makes of each part of the state, in its order. */
function resultsOf(pass: Graph, state: readonly NamedValue[]): Value[] {
  const made = new Map(pass.outputs.map(({ name, value }) => [name, value]));
  const results = state.map(({ name, value }) => {
    const result = made.get(name);
    if (String(result?.shape) !== String(value.shape)) {
      const actual = result === undefined ? 'none' : `[${result.shape}]`;
      throw new Error(`${pass.name}: expected an output "${name}" of [${value.shape}], as it goes in, got ${actual}`);
    }
    made.delete(name);
    return result!;
  });
  for (const name of made.keys()) {
    throw new Error(`${pass.name}: expected outputs that are state, got "${name}", which is no input`);
  }
  return results;
}

const alike = ({ dtype, shape }: Value): Value => ({ dtype, shape });
