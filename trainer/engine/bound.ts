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
  ): Computation =>
    bindSession(openSession(models[name]!, { threadCount: 1 }, `${group}-${name}`), {
      inputs,
      outputs: (output) => outputs[output]!,
    });
