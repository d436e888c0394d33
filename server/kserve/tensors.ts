/** Converts tensors of the Open Inference Protocol, raw or typed, to checked rows and back. */

import { bytesOf } from '../../src/contract/bytes.ts';
import { invalidArgument, quoted } from '../../src/contract/errors.ts';
import type { ModelInferRequest } from '../../src/gen/inference/grpc_predict_v2_pb.ts';
import type { GraphRule, TensorRule } from '../../src/package/graph-contract.ts';
import { decodeRows, type Rows } from '../call/tensors.ts';

/** Without noise a stochastic policy gives its deterministic action. */
export const mayBeLeftOut = ({ name }: TensorRule): boolean => name === 'noise';

const refuse = (where: string, expected: string, actual: string) => invalidArgument({ where, expected, actual });

/** Inputs by name, with equal numbers of rows. @throws HyperpolicyError invalid_argument */
export function readInputs(
  request: ModelInferRequest,
  { inputs: known }: GraphRule,
  { model, rowCountMax }: { readonly model: string; readonly rowCountMax: number },
): ReadonlyMap<string, Rows> {
  const { inputs, rawInputContents: raw } = request;
  const where = 'ModelInfer inputs';
  if (raw.length > 0 && inputs.some(({ contents }) => contents !== undefined)) {
    throw refuse(where, 'raw_input_contents or contents', 'both');
  }
  if (raw.length > 0 && raw.length !== inputs.length) {
    throw refuse(where, `raw_input_contents for each of ${inputs.length} inputs`, `${raw.length}`);
  }
  const rows = new Map<string, Rows>();
  inputs.forEach(({ name, datatype, shape, contents }, i) => {
    const tensor = known.find((other) => other.name === name);
    if (tensor === undefined || rows.has(name)) {
      const names = known.map((other) => other.name).join(', ');
      throw refuse(where, `each of ${names} once`, quoted(name));
    }
    if (datatype !== 'FP32') throw refuse(`ModelInfer ${name}`, 'datatype FP32', quoted(datatype));
    const data = raw.length > 0 ? raw[i]! : bytesOf(Float32Array.from(contents?.fp32Contents ?? []));
    // A size that is too large for a number becomes a size that no tensor has.
    const sizes = shape.map((size) => (size >= 0n && size < 2n ** 32n ? Number(size) : 2 ** 32));
    rows.set(
      name,
      decodeRows(
        { $typeName: 'hyperpolicy.v1.Tensor', shape: sizes, data },
        { where: `ModelInfer ${name}`, columnCount: tensor.sizes[0]!, rowCountMax, model },
      ),
    );
  });
  const rowCount = rows.get('observation')?.rowCount;
  for (const tensor of known) {
    const { name } = tensor;
    const own = rows.get(name);
    if (own === undefined) {
      if (!mayBeLeftOut(tensor)) throw refuse(where, `an input "${name}" for model "${model}"`, 'none');
    } else if (own.rowCount !== rowCount) {
      throw refuse(`ModelInfer ${name}`, `${rowCount} rows as in observation`, `${own.rowCount}`);
    }
  }
  return rows;
}

/**
 * The requested outputs in that order, each once: a name takes a few bytes of a message, and its values up to a megabyte of the answer.
 * @throws HyperpolicyError invalid_argument
 */
export function readRequested({ outputs }: ModelInferRequest, { outputs: known }: GraphRule): readonly TensorRule[] {
  if (outputs.length === 0) return known;
  const requested = new Set<TensorRule>();
  for (const { name } of outputs) {
    const tensor = known.find((other) => other.name === name);
    if (tensor === undefined || requested.has(tensor)) {
      const names = known.map((other) => other.name).join(', ');
      throw refuse('ModelInfer outputs', `some of ${names}, each once`, quoted(name));
    }
    requested.add(tensor);
  }
  return [...requested];
}

/** @param isRaw as the inputs were */
export function writeOutputs(
  requested: readonly TensorRule[],
  {
    rowCount,
    values,
    isRaw,
  }: {
    readonly rowCount: number;
    readonly values: Readonly<Record<string, Float32Array>>;
    readonly isRaw: boolean;
  },
) {
  return {
    outputs: requested.map(({ name, sizes }) => ({
      name,
      datatype: 'FP32',
      shape: [rowCount, ...sizes].map(BigInt),
      ...(!isRaw && { contents: { fp32Contents: [...values[name]!] } }),
    })),
    rawOutputContents: isRaw ? requested.map(({ name }) => bytesOf(values[name]!)) : [],
  };
}
