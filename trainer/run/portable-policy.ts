/** A deterministic policy that another thread can run: a graph as ONNX, and the parameters that it takes. */

import { floatTensor, openSession } from '../../src/onnx/session.ts';
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

export type Portable = { portablePolicy(): PortablePolicy };

export type OpenedPolicy = {
  /** With these parameters, without noise. The same bits as the learner's own `act` on one thread. */
  actWith(parameters: PolicyParameters): EvaluationOptions['act'];
  dispose(): void;
};

/** @param model of a {@link PortablePolicy} */
export function openPolicy(model: Uint8Array): OpenedPolicy {
  const session = openSession(model, { threadCount: 1 }, 'policy of an evaluation');
  return {
    actWith(parameters) {
      const feeds = Object.fromEntries(
        session.inputs.map(({ name, shape }) => {
          const sizes = shape as readonly number[];
          const size = sizes.reduce((product, one) => product * one, 1);
          return [name, floatTensor(parameters[name] ?? new Float32Array(size), sizes)];
        }),
      );
      const values = (name: string) => feeds[name]?.data as Float32Array | undefined;
      return (observation, out, context) => {
        values('observation')!.set(observation);
        if (context !== null) values('context')?.set(context);
        out.set(session.run(feeds).action!.data as Float32Array);
      };
    },
    dispose: () => session.dispose(),
  };
}
