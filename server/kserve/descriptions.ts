/** What the Open Inference Protocol tells of a policy or critic before it is used: metadata, configuration. */

import { DataType } from '../../src/gen/inference/grpc_predict_v2_pb.ts';
import type { TensorRule } from '../models/graph-contract.ts';
import type { ServedVersion } from '../models/served-version.ts';
import type { NamedTarget } from './targets.ts';
import { mayBeLeftOut } from './tensors.ts';

const platform = 'onnxruntime_onnx';

/** @param versions of the same model, newest first */
export function metadataOf({ name, served, network }: NamedTarget, versions: readonly ServedVersion[]) {
  const { manifest, device, precision } = served;
  const { environment, algorithm, fingerprint } = manifest;
  const listed = (tensor: TensorRule) => ({
    name: tensor.name,
    datatype: 'FP32',
    shape: [-1n, ...tensor.sizes.map(BigInt)],
  });
  return {
    name,
    versions: versions.map(({ version }) => String(version)),
    platform,
    inputs: network.tensors.inputs.map(listed),
    outputs: network.tensors.outputs.map(listed),
    properties: { environment, algorithm, fingerprint, device, precision },
  };
}

export function configOf({ name, network }: NamedTarget, rowCountMax: number) {
  const listed = (tensor: TensorRule) => ({
    name: tensor.name,
    dataType: DataType.TYPE_FP32,
    dims: tensor.sizes.map(BigInt),
  });
  return {
    name,
    platform,
    backend: 'onnxruntime',
    maxBatchSize: rowCountMax,
    input: network.tensors.inputs.map((tensor) => ({ ...listed(tensor), optional: mayBeLeftOut(tensor) })),
    output: network.tensors.outputs.map(listed),
  };
}
