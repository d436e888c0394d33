/** The default engine: a computation is traced once, and each run is one native call. */

import { compile } from '../../src/onnx/compile.ts';
import { encode } from '../../src/onnx/encode.ts';
import { type Graph, sizeOf } from '../../src/onnx/graph.ts';
import { multiplyAdds } from '../../src/onnx/multiply-adds.ts';
import { optimise } from '../../src/onnx/passes/index.ts';
import type { DeviceName } from '../../src/onnx/providers.ts';
import { floatTensor, type TensorMap } from '../../src/onnx/session.ts';
import { trace } from '../../src/trace/trace.ts';
import type { ComputationDefinition, Engine } from './engine.ts';

export type TracedEngineOptions = {
  /** Most threads inside one operator. They spin between operators, so give no more than there are free cores. */
  readonly threadCount: number;
  /** Where computations run; `cpu` unless given. Inputs and outputs stay in host memory. */
  readonly device?: DeviceName | undefined;
};

/**
 * A computation with fewer multiply-adds, about 20 us of arithmetic, runs on one thread of the CPU whatever the options are:
 * to wake another thread or a device takes longer. One action of an actor is below this, an update step is above.
 */
const smallMultiplyAdds = 1e6;

export const createTracedEngine = ({ threadCount, device }: TracedEngineOptions): Engine => ({
  name: 'traced',
  compile(definition) {
    const { name, inputs, outputs } = definition;
    const graph = graphOf(definition);
    const options =
      multiplyAdds(graph) < smallMultiplyAdds
        ? { threadCount: 1 }
        : { threadCount, spinning: threadCount > 1, ...(device !== undefined && { device }) };
    const session = compile(graph, options);
    const feeds: TensorMap = Object.fromEntries(
      session.inputs.map((input) => {
        const { data, shape } = inputs[input.name]!;
        return [input.name, floatTensor(data, shape)];
      }),
    );
    const fetches: TensorMap = Object.fromEntries(
      session.outputs.map((output) => [
        output.name,
        floatTensor(target(definition, output.name), output.shape as readonly number[]),
      ]),
    );
    refuseUnknownOutputs(outputs, fetches, name);
    return {
      run() {
        session.run(feeds, fetches);
      },
      dispose() {
        session.dispose();
      },
    };
  },
});

/** Its smallest output comes first: the session copies that one. */
function graphOf({ name, inputs, fn }: Pick<ComputationDefinition, 'name' | 'inputs' | 'fn'>): Graph {
  const specs = Object.fromEntries(Object.entries(inputs).map(([input, { shape }]) => [input, { shape }]));
  const graph = trace(name, specs, fn);
  return { ...graph, outputs: graph.outputs.toSorted((a, b) => sizeOf(a.value.shape) - sizeOf(b.value.shape)) };
}

/** A computation as ONNX: for another thread, which gets the same bits from it on one thread. */
export const modelOf = (definition: Pick<ComputationDefinition, 'name' | 'inputs' | 'fn'>): Uint8Array =>
  encode(optimise(graphOf(definition)));

function target({ outputs, name }: ComputationDefinition, output: string): Float32Array {
  const data = outputs[output];
  if (data === undefined) throw new Error(`${name}: expected an array for output "${output}", got none`);
  return data;
}

function refuseUnknownOutputs(outputs: object, fetches: object, name: string): void {
  for (const output of Object.keys(outputs)) {
    if (!(output in fetches)) throw new Error(`${name}: expected an output "${output}" of the function, got none`);
  }
}
