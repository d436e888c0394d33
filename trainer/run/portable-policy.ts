/** A deterministic policy that another thread can run: a graph as ONNX, and the parameters that it takes. */

import { mapValues } from '../../src/contract/records.ts';
import { openSmallComputation } from '../../src/onnx/small-computation.ts';
import type { EvaluationOptions } from './evaluation.ts';

/** Parameters by the graph's input names. */
export type PolicyParameters = Readonly<Record<string, Float32Array>>;

export type PortablePolicy = {
  /**
   * ONNX. Inputs: the parameters, `observation` [1, O] and, if they are read, `context` [1, C] and `noise` [1, A]. Output: `action`
   * [1, A], environment units.
   */
  readonly model: Uint8Array;
  /** Views: the learner changes them. */
  readonly parameters: PolicyParameters;
};

/** Copies that another thread may have: a view would take all of its memory along. */
export const copiesOf = (parameters: PolicyParameters): Record<string, Float32Array<ArrayBuffer>> =>
  mapValues(parameters, (values) => values.slice());

export type Portable = { portablePolicy(): PortablePolicy };

export type OpenedPolicy = {
  /** With these parameters, without noise. The same bits as the learner's own `act` on one thread. */
  actWith(parameters: PolicyParameters): EvaluationOptions['act'];
  dispose(): void;
};

/** @param model of a {@link PortablePolicy} */
export function openPolicy(model: Uint8Array): OpenedPolicy {
  const computation = openSmallComputation(model, 'policy of an evaluation');
  return {
    actWith(parameters) {
      const inputs = Object.fromEntries(
        computation.inputs.map(({ name, size }) => [name, parameters[name] ?? new Float32Array(size)]),
      );
      const action = new Float32Array(computation.outputs[0]!.size);
      const run = computation.bind(inputs, { action });
      return (observation, out, context) => {
        inputs.observation!.set(observation);
        if (context !== null) inputs.context?.set(context);
        run();
        out.set(action);
      };
    },
    dispose: () => computation.dispose(),
  };
}
