/** A session over arrays that stay the same. Nothing here traces, so threads that only run graphs load no tfjs. */

import { floatTensor, openSession, type Session, type TensorInfo, type TensorMap } from '../../src/onnx/session.ts';
import type { BoundInput, Computation } from './engine.ts';

/** The arrays' sizes are those of the graph's values. */
export function bindSession(
  session: Session,
  arrays: {
    readonly inputs: Readonly<Record<string, BoundInput>>;
    readonly outputs: (name: string) => BoundInput;
  },
): Computation {
  const tensorsOf = (values: readonly TensorInfo[], array: (name: string) => BoundInput): TensorMap =>
    Object.fromEntries(
      values.map(({ name }) => {
        const { data, shape } = array(name);
        return [name, floatTensor(data, shape)];
      }),
    );
  const feeds = tensorsOf(session.inputs, (name) => arrays.inputs[name]!);
  const fetches = tensorsOf(session.outputs, arrays.outputs);
  return {
    run() {
      session.run(feeds, fetches);
    },
    dispose() {
      session.dispose();
    },
  };
}

/** Computations of graphs as ONNX by name, each on the calling thread alone. */
export const openModels =
  (group: string, models: Readonly<Record<string, Uint8Array>>) =>
  (
    name: string,
    inputs: Readonly<Record<string, BoundInput>>,
    outputs: Readonly<Record<string, BoundInput>>,
  ): Computation => {
    const session = openSession(models[name]!, { threadCount: 1 }, `${group}-${name}`);
    checkOutputs(`${group}-${name}`, session.outputs, outputs);
    return bindSession(session, { inputs, outputs: (output) => outputs[output]! });
  };

/**
 * @param made the outputs of a function
 * @param given arrays by name
 * @throws Error unless there is one for each
 */
export function checkOutputs(where: string, made: readonly { readonly name: string }[], given: object): void {
  for (const output of Object.keys(given)) {
    if (!made.some(({ name }) => name === output))
      throw new Error(`${where}: expected an output "${output}" of the function, got none`);
  }
  for (const { name } of made) {
    if (!Object.hasOwn(given, name)) throw new Error(`${where}: expected an array for output "${name}", got none`);
  }
}
