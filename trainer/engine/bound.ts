/** A session over arrays that stay the same. Nothing here traces, so threads that only run graphs load no tfjs. */

import { floatTensor, openSession, type Session, type TensorInfo, type TensorMap } from '../../src/onnx/session.ts';
import type { BoundInput, Computation } from './engine.ts';
import type { OpenedFunction } from './items.ts';

/** A function of items as ONNX: whole, or with what comes before it. See OpenedFunction. */
export type ItemModels = { readonly rest: Uint8Array; readonly steady?: Uint8Array | undefined };

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

/** Functions of items as ONNX by name, each on the calling thread alone. */
export const openItemModels =
  (group: string, models: Readonly<Record<string, ItemModels>>) =>
  (name: string): OpenedFunction => {
    const { rest, steady } = models[name]!;
    const opened = openProgram(rest, `${group}-${name}`);
    if (steady === undefined) return { rest: opened };
    const { outputs, ...before } = openProgram(steady, `${group}-${name}-steady`);
    const shapes = outputs.map((output) => [output.name, output.shape as readonly number[]]);
    return { rest: opened, steady: { ...before, shapes: Object.fromEntries(shapes) } };
  };

function openProgram(model: Uint8Array, name: string) {
  const session = openSession(model, { threadCount: 1 }, name);
  return {
    inputs: session.inputs.map((input) => input.name),
    outputs: session.outputs,
    bind(inputs: Readonly<Record<string, BoundInput>>, outputs: Readonly<Record<string, BoundInput>>) {
      checkOutputs(name, session.outputs, outputs);
      return bindSession(session, { inputs, outputs: (output) => outputs[output]! }).run;
    },
    dispose: () => session.dispose(),
  };
}

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
