/** The policy network of a published model, opened. Whose contexts, noise or adapted weights it is given, others decide. */

import { clipToBounds, float32Bounds } from '../../src/contract/bounds.ts';
import { failedPrecondition } from '../../src/contract/errors.ts';
import { specDifference } from '../../src/contract/spec-difference.ts';
import { fingerprint, type PolicySpecs, type SpecSizes, specSizes } from '../../src/contract/tensor-spec.ts';
import { floatTensor, openSession, type Session, type TensorMap } from '../../src/onnx/session.ts';
import { createSmallNetwork, type SmallWeights } from '../../src/onnx/small-network.ts';
import type { Manifest } from '../../src/package/manifest.ts';
import type { ModelPackage } from '../../src/package/package.ts';

type NetworkRows = {
  readonly observations: Float32Array; // [N, O]
  /** Tasks of the environment, C may be 0; not looked at by a policy that reads none. */
  readonly contexts: Float64Array; // [N, C]
  /** Standard normal; zeros unless given. */
  readonly noise?: Float32Array; // [N, A]
  /** Of one context, in place of those that the primary generates. */
  readonly weights?: SmallWeights | undefined;
};

export type PackageNetwork = {
  /** Actions in environment units, within their bounds, [N, A]. */
  act(rows: NetworkRows): Float32Array;
  /** The tensors that a hyper policy's primary generates, in their order; none of a plain policy. */
  readonly weightNames: readonly string[];
  /** What the primary of a hyper policy generates. @param contexts [K, C] */
  weightsOf(contexts: Float64Array): SmallWeights;
  /** Frees native memory. */
  dispose(): void;
};

/** Whether a model adapts to experience. */
export const adapts = ({ encoder, adapt }: Manifest): boolean => encoder !== null || adapt !== null;

/**
 * Runs as the server runs it (`src/onnx/small-network.ts`): the same observation gives the same bits here and there.
 * @param options.wanted specs that the model must have
 * @throws HyperpolicyError failed_precondition: no policy in the package, or other specs
 */
export function openPackageNetwork(
  { directory, manifest, files }: ModelPackage,
  {
    wanted,
    threadCount,
    remedy,
  }: { readonly wanted: PolicySpecs; readonly threadCount: number; readonly remedy: string },
): PackageNetwork {
  const { policy } = manifest;
  if (policy === null) {
    throw failedPrecondition({ where: directory, expected: 'a package with a policy', actual: 'one without' });
  }
  if (fingerprint(wanted) !== manifest.fingerprint) {
    const { expected, actual } = specDifference(wanted, manifest);
    throw failedPrecondition({
      where: directory,
      expected: `a model for the environment's ${expected}`,
      actual: `one for ${actual}`,
      remedy,
    });
  }
  const open = ({ file }: { readonly file: string }): Opened => {
    const model = files.get(file)!;
    return { model, session: openSession(model, { threadCount, foreign: true }, file) };
  };
  const sizes = specSizes(manifest);
  const network =
    policy.kind === 'plain'
      ? plainNetwork(open(policy.graph), sizes)
      : hyperNetwork(open(policy.primary), open(policy.dynamic), sizes);
  const bounds = float32Bounds(manifest.action);
  return {
    ...network,
    act(rows) {
      // As the server does: a graph need not know its bounds.
      const actions = network.act(rows);
      clipToBounds(actions, bounds);
      return actions;
    },
  };
}

type Opened = { readonly model: Uint8Array; readonly session: Session };

function plainNetwork(opened: Opened, { observationSize }: SpecSizes): PackageNetwork {
  const network = createSmallNetwork(opened);
  const takesContext = opened.session.inputs.some(({ name }) => name === 'context');
  return {
    weightNames: [],
    weightsOf() {
      throw new Error('a plain policy has no generated weights');
    },
    act({ observations, contexts, noise }) {
      const rows = {
        observation: observations,
        context: takesContext ? Float32Array.from(contexts) : undefined,
        noise,
      };
      return network.runAtOnce({ rowCount: observations.length / observationSize, rows }).action!;
    },
    dispose: () => opened.session.dispose(),
  };
}

const noContext = new Float64Array(0);

/** The primary runs when contexts have changed. */
function hyperNetwork(
  { session: primary }: Opened,
  dynamic: Opened,
  { observationSize, contextSize }: SpecSizes,
): PackageNetwork {
  const weightNames = primary.outputs.map(({ name }) => name);
  const network = createSmallNetwork({ ...dynamic, weightNames });
  let generated: { readonly contexts: Float64Array; readonly weights: SmallWeights } | undefined;

  const weightsOf = (given: Float64Array): SmallWeights => {
    const contexts = contextSize === 0 ? noContext : given;
    const same =
      generated?.contexts.length === contexts.length && generated.contexts.every((v, i) => v === contexts[i]);
    if (!same) {
      const rowCount = contextSize === 0 ? 1 : contexts.length / contextSize;
      const tensor = floatTensor(Float32Array.from(contexts), [rowCount, contextSize]);
      generated = { contexts: contexts.slice(), weights: weightsFrom(primary.run({ context: tensor }), weightNames) };
    }
    return generated!.weights;
  };

  return {
    weightNames,
    weightsOf,
    act({ observations, contexts, noise, weights = weightsOf(contexts) }) {
      const rowCount = observations.length / observationSize;
      return network.runAtOnce({ rowCount, rows: { observation: observations, noise }, weights }).action!;
    },
    dispose() {
      primary.dispose();
      dynamic.session.dispose();
    },
  };
}

/** One block of weights per context, and row -> block; a single context is that of all rows. @param generated by these names, [K, ...] each */
export function weightsFrom(generated: TensorMap, names: readonly string[]): SmallWeights {
  const tensors = names.map((name) => generated[name]!);
  const rowCount = tensors[0]!.dims[0]!;
  const entries = Array.from({ length: rowCount }, (_, row) => {
    const parts = tensors.map(({ data }) => {
      const size = data.length / rowCount;
      return (data as Float32Array).subarray(row * size, (row + 1) * size);
    });
    const block = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      block.set(part, at);
      at += part.length;
    }
    return { block };
  });
  const index = rowCount === 1 ? undefined : Int32Array.from(entries, (_, row) => row);
  return { entries, index, feeds: () => generated };
}
