/**
 * Where heavy graphs run: primaries, plain critics. Callers hand over feeds and take the outputs, at once or later; which
 * thread computes is decided here. Small dynamic networks do not come here: they run where the request is.
 */

import { openSession, type TensorMap } from '../src/onnx/session.ts';

/** A heavy graph that is ready to run. */
export type HeavyGraph = {
  /** Input and output names of the loaded graph. */
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: TensorMap): TensorMap | Promise<TensorMap>;
  /** Call when no run is in flight. */
  dispose(): void;
};

export type ComputePool = {
  /** @throws HyperpolicyError invalid_argument where the bytes are not a graph that the runtime takes */
  open(model: Uint8Array, name: string): HeavyGraph;
};

/** Runs every graph on the calling thread. */
export function createInlinePool({ threadCount }: { readonly threadCount: number }): ComputePool {
  return {
    open(model, name) {
      const session = openSession(model, { threadCount }, name);
      return {
        inputNames: session.inputs.map((input) => input.name),
        outputNames: session.outputs.map((output) => output.name),
        run: (feeds) => session.run(feeds),
        dispose: () => session.dispose(),
      };
    },
  };
}
