/** Parameters of the Open Inference Protocol. Those without a meaning here are refused, since they would silently do nothing. */

import { invalidArgument, quoted } from '../../src/contract/errors.ts';
import type {
  ModelInferRequest_InferInputTensor as InferInput,
  InferParameter,
  ModelInferRequest,
} from '../../src/gen/inference/grpc_predict_v2_pb.ts';

/** For each parameter: what is expected, and the check. */
const known: Readonly<Record<string, readonly [string, (choice: InferParameter['parameterChoice']) => boolean]>> = {
  timeout: ['an integer of microseconds from 0', isCount],
  priority: ['an integer from 0', isCount],
  triton_enable_empty_final_response: ['a bool_param', ({ case: type }) => type === 'boolParam'],
};

function isCount({ case: type, value }: InferParameter['parameterChoice']): boolean {
  return (type === 'int64Param' || type === 'uint64Param') && value >= 0n;
}

/**
 * @returns the budget in microseconds; 0 means none
 * @throws HyperpolicyError invalid_argument: a parameter that is not known, or not of its type
 */
export function readParameters({ parameters, inputs, outputs, rawInputContents: raw }: ModelInferRequest): {
  readonly timeoutUs: number;
} {
  const names = Object.keys(known);
  const unknown = Object.keys(parameters)
    .sort()
    .find((name) => !names.includes(name));
  if (unknown !== undefined) {
    const expected = `some of ${names.join(', ')}`;
    throw invalidArgument({ where: 'ModelInfer parameters', expected, actual: quoted(unknown) });
  }
  for (const [name, { parameterChoice }] of Object.entries(parameters)) {
    const [expected, isRight] = known[name]!;
    if (!isRight(parameterChoice)) throw wrong(`ModelInfer ${name}`, expected, parameterChoice);
  }
  for (const [i, input] of inputs.entries()) checkSize(input, raw[i]?.length);
  for (const output of outputs) checkSize(output, undefined);
  return { timeoutUs: Number(parameters.timeout?.parameterChoice.value ?? 0) };
}

/** KServe's client tells the size of raw contents, which they have anyway. @param size of the tensor's raw contents */
function checkSize({ name, parameters }: Pick<InferInput, 'name' | 'parameters'>, size: number | undefined): void {
  const where = `ModelInfer ${name.slice(0, 100)} parameters`;
  const { binary_data_size: told, ...others } = parameters;
  const [first] = Object.keys(others);
  const only = size === undefined ? 'none' : 'binary_data_size or none';
  if (first !== undefined || (told !== undefined && size === undefined)) {
    const expected = `${only}: tensors are sent in the message, whole`;
    throw invalidArgument({ where, expected, actual: quoted(first ?? 'binary_data_size') });
  }
  const choice = told?.parameterChoice;
  if (choice !== undefined && !(isCount(choice) && Number(choice.value) === size)) {
    throw wrong(`${where} binary_data_size`, `${size}, the bytes of its raw contents`, choice);
  }
}

const wrong = (where: string, expected: string, { case: type, value }: InferParameter['parameterChoice']) =>
  invalidArgument({ where, expected, actual: type === undefined ? 'none' : `${value}`.slice(0, 100) });
