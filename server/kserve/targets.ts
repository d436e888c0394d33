/** Models of the Open Inference Protocol: `M` is the policy of model M, `M.critic` its critic. Also their metadata and configuration. */

import { failedPrecondition } from '../../src/contract/errors.ts';
import { DataType } from '../../src/gen/inference/grpc_predict_v2_pb.ts';
import type { TensorRule } from '../../src/package/graph-contract.ts';
import { mayUse } from '../call/caller.ts';
import type { Call } from '../call/rpc.ts';
import type { ModelStore } from '../models/model-store.ts';
import type { Selection } from '../models/selection.ts';
import type { ServedNetwork } from '../models/served-network.ts';
import type { ServedVersion } from '../models/served-version.ts';
import { mayBeLeftOut } from './tensors.ts';

/** A policy or a critic of a version. */
export type NamedTarget = {
  readonly name: string;
  readonly served: ServedVersion;
  readonly network: ServedNetwork;
};

const criticSuffix = '.critic';

export class Targets {
  readonly #models: ModelStore;

  constructor(models: ModelStore) {
    this.#models = models;
  }

  /**
   * @param method named in errors
   * @param version a number, a label, or empty
   * @throws HyperpolicyError as ModelStore.resolve; failed_precondition: the model has no such network
   */
  resolve(method: string, { name, version }: { name: string; version: string }, call: Call): NamedTarget {
    const { model, kind } = parseName(name, new Set(this.#models.list().map((served) => served.model)));
    const served = this.#models.resolve(method, { model, selection: selectionOf(version) }, call);
    const network = served[kind];
    if (network !== null) return { name, served, network };
    throw failedPrecondition({
      where: `${method} model`,
      expected: `a model with a ${kind}`,
      actual: `"${model}", which has none`,
      ...(kind === 'policy' && { remedy: `Its critic is "${model}${criticSuffix}"` }),
    });
  }

  /** All that the caller may use. */
  list({ caller }: Call): NamedTarget[] {
    const allowed = this.#models.list().filter(({ model }) => mayUse(caller, model));
    return allowed.flatMap(({ versions }) => versions.flatMap(targetsOf));
  }

  /** Ready versions of a target's model, newest first. Never empty, even if the model has just gone. */
  versionsOf({ served }: NamedTarget): readonly ServedVersion[] {
    return this.#models.list().find(({ model }) => model === served.model)?.versions ?? [served];
  }
}

/** A model's own name may end in `.critic`. */
function parseName(name: string, known: ReadonlySet<string>): { model: string; kind: 'policy' | 'critic' } {
  const model = name.slice(0, -criticSuffix.length);
  const isCritic = !known.has(name) && name.endsWith(criticSuffix) && known.has(model);
  return isCritic ? { model, kind: 'critic' } : { model: name, kind: 'policy' };
}

const targetsOf = (served: ServedVersion): NamedTarget[] => {
  const { model, policy, critic } = served;
  const networks = [policy, critic].flatMap((network) => network ?? []);
  return networks.map((network) => ({ name: network === critic ? `${model}${criticSuffix}` : model, served, network }));
};

function selectionOf(version: string): Selection['selection'] {
  if (version === '') return { case: undefined };
  return /^\d+$/.test(version) ? { case: 'version', value: Number(version) } : { case: 'label', value: version };
}

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
