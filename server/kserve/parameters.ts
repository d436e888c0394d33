/** Parameters of the Open Inference Protocol: those that mean something here, and a refusal of the others, which would change nothing. */

import { invalidArgument, quoted } from '../../src/contract/errors.ts';
import type { InferParameter, ModelInferRequest } from '../../src/gen/inference/grpc_predict_v2_pb.ts';

export type InferParameters = {
  /** Budget in microseconds; 0 is none. */
  readonly timeoutUs: number;
};

const knownNames = ['timeout', 'priority', 'triton_enable_empty_final_response'];

/** @throws HyperpolicyError invalid_argument: a parameter that is not known, or not of its type */
export function readParameters({ parameters, inputs, outputs }: ModelInferRequest): InferParameters {
  const unknown = Object.keys(parameters)
    .sort()
    .find((name) => !knownNames.includes(name));
  if (unknown !== undefined) {
    throw invalidArgument({
      where: 'ModelInfer parameters',
      expected: `some of ${knownNames.join(', ')}`,
      actual: quoted(unknown),
    });
  }
  for (const { name, parameters: own } of [...inputs, ...outputs]) {
    const first = Object.keys(own)[0];
    if (first === undefined) continue;
    const where = `ModelInfer ${name.slice(0, 100)} parameters`;
    throw invalidArgument({ where, expected: 'none: tensors are sent in the message, whole', actual: quoted(first) });
  }
  integerOf('priority', parameters.priority, 'an integer from 0');
  flagOf('triton_enable_empty_final_response', parameters.triton_enable_empty_final_response);
  return { timeoutUs: integerOf('timeout', parameters.timeout, 'an integer of microseconds from 0') };
}

/** 0 where there is none. */
function integerOf(name: string, parameter: InferParameter | undefined, expected: string): number {
  const choice = parameter?.parameterChoice;
  if (choice === undefined) return 0;
  const value = choice.case === 'int64Param' || choice.case === 'uint64Param' ? Number(choice.value) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw invalidArgument({ where: `ModelInfer ${name}`, expected, actual: textOf(parameter!) });
}

function flagOf(name: string, parameter: InferParameter | undefined): void {
  if (parameter === undefined || parameter.parameterChoice.case === 'boolParam') return;
  throw invalidArgument({ where: `ModelInfer ${name}`, expected: 'a bool_param', actual: textOf(parameter) });
}

const textOf = ({ parameterChoice: { case: type, value } }: InferParameter): string =>
  type === undefined ? 'none' : `${value}`.slice(0, 100);
