/** What the Open Inference Protocol tells of a policy or critic before it is used: tensors, metadata, configuration. */

import { DataType } from '../../src/gen/inference/grpc_predict_v2_pb.ts';
import type { ServedVersion } from '../models/served-version.ts';
import type { NamedTarget, Target } from './targets.ts';
import type { WireTensor, WireTensors } from './tensors.ts';

const platform = 'onnxruntime_onnx';

/** @param versions of the same model, newest first */
export function metadataOf(target: NamedTarget, versions: readonly ServedVersion[]) {
  const { inputs, outputs } = wireTensors(target);
  const { environment, algorithm, fingerprint } = target.served.manifest;
  const listed = ({ name, sizes }: WireTensor) => ({
    name,
    datatype: 'FP32',
    shape: [-1n, ...sizes.map(BigInt)],
  });
  return {
    name: target.name,
    versions: versions.map(({ version }) => String(version)),
    platform,
    inputs: inputs.map(listed),
    outputs: outputs.map(listed),
    properties: { environment, algorithm, fingerprint },
  };
}

export function configOf(target: NamedTarget, rowCountMax: number) {
  const { inputs, outputs } = wireTensors(target);
  const listed = ({ name, sizes }: WireTensor) => ({
    name,
    dataType: DataType.TYPE_FP32,
    dims: sizes.map(BigInt),
  });
  return {
    name: target.name,
    platform,
    backend: 'onnxruntime',
    maxBatchSize: rowCountMax,
    input: inputs.map((tensor) => ({ ...listed(tensor), optional: tensor.optional === true })),
    output: outputs.map(listed),
  };
}

/** The tensors of a policy or critic as clients see them. */
export function wireTensors({ served, kind }: Target): WireTensors {
  const { observationSize, actionSize, contextSize, policy, critic, manifest } = served;
  const observation = { name: 'observation', sizes: [observationSize] };
  const action = { name: 'action', sizes: [actionSize] };
  const context = { name: 'context', sizes: [contextSize] };
  if (kind === 'critic') {
    const { ensembleSize, contextSize: criticContextSize } = critic!;
    return {
      inputs: [observation, action, ...(criticContextSize > 0 ? [context] : [])],
      outputs: [
        { name: 'q', sizes: [ensembleSize] },
        { name: 'dq_da', sizes: [ensembleSize, actionSize] },
      ],
    };
  }
  const network = manifest.policy!;
  const graph = network.kind === 'plain' ? network.graph : network.dynamic;
  const hasLogProb = graph.outputs.some(({ name }) => name === 'log_prob');
  return {
    inputs: [
      observation,
      ...(contextSize > 0 ? [context] : []),
      ...(policy!.stochastic ? [{ name: 'noise', sizes: [actionSize], optional: true }] : []),
    ],
    outputs: [action, ...(hasLogProb ? [{ name: 'log_prob', sizes: [] }] : [])],
  };
}
