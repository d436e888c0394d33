/** Parameters of the Open Inference Protocol. Those without a meaning here are refused: they would change nothing. */

import { invalidArgument, quoted } from '../../src/contract/errors.ts';
import type { InferParameter, ModelInferRequest } from '../../src/gen/inference/grpc_predict_v2_pb.ts';

/** Of a parameter: what it may be, and whether it is that. */
const known: Readonly<Record<string, readonly [string, (choice: InferParameter['parameterChoice']) => boolean]>> = {
  timeout: ['an integer of microseconds from 0', isCount],
  priority: ['an integer from 0', isCount],
  triton_enable_empty_final_response: ['a bool_param', ({ case: type }) => type === 'boolParam'],
};

function isCount({ case: type, value }: InferParameter['parameterChoice']): boolean {
  return (type === 'int64Param' || type === 'uint64Param') && value >= 0n && Number.isSafeInteger(Number(value));
}

/**
 * @returns the budget in microseconds; 0 is none
 * @throws HyperpolicyError invalid_argument: a parameter that is not known, or not of its type
 */
export function readParameters({ parameters, inputs, outputs }: ModelInferRequest): { readonly timeoutUs: number } {
  const names = Object.keys(known);
  const unknown = Object.keys(parameters)
    .sort()
    .find((name) => !names.includes(name));
  if (unknown !== undefined) {
    const expected = `some of ${names.join(', ')}`;
    throw invalidArgument({ where: 'ModelInfer parameters', expected, actual: quoted(unknown) });
  }
  for (const { name, parameters: own } of [...inputs, ...outputs]) {
    const first = Object.keys(own)[0];
    if (first === undefined) continue;
    const where = `ModelInfer ${name.slice(0, 100)} parameters`;
    throw invalidArgument({ where, expected: 'none: tensors are sent in the message, whole', actual: quoted(first) });
  }
  for (const name of names) {
    const choice = parameters[name]?.parameterChoice;
    const [expected, isRight] = known[name]!;
    if (choice === undefined || isRight(choice)) continue;
    const actual = choice.case === undefined ? 'none' : `${choice.value}`.slice(0, 100);
    throw invalidArgument({ where: `ModelInfer ${name}`, expected, actual });
  }
  return { timeoutUs: Number(parameters.timeout?.parameterChoice.value ?? 0) };
}
