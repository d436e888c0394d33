/** Policies that act for a batch of environments: random, still, or a published model's. */

import { failedPrecondition } from '../../src/contract/errors.ts';
import { createRandom } from '../../src/contract/random.ts';
import { specDifference } from '../../src/contract/spec-difference.ts';
import { fingerprint, type PolicySpecs, specSize } from '../../src/contract/tensor-spec.ts';
import { floatTensor, openSession, type Session, type TensorMap } from '../../src/onnx/session.ts';
import { createSmallNetwork, type SmallWeights } from '../../src/onnx/small-network.ts';
import type { ModelPackage } from '../../src/package/package.ts';

export type BatchPolicy = {
  /**
   * Chooses actions for N rows, environment units.
   * @param observations [N, O]; may lie in shared memory, which ONNX tensors must not
   * @param contexts [N, C]; C may be 0
   * @param actions [N, A], written
   */
  act(observations: Float32Array, contexts: Float64Array, actions: Float32Array): void;
  /** Frees native memory. */
  dispose(): void;
};

/** Uniform within the bounds; standard normal if there are none. */
export function createRandomPolicy({ action }: PolicySpecs, seed: number): BatchPolicy {
  const random = createRandom(seed, 900);
  const size = specSize(action);
  return {
    act(_, __, actions) {
      for (let i = 0; i < actions.length; i++) {
        const [low, high] = [action.low[i % size] ?? null, action.high[i % size] ?? null];
        actions[i] = low === null || high === null ? random.normal() : low + (high - low) * random.uniform();
      }
    },
    dispose() {},
  };
}

/** All zeros. */
export const createZeroPolicy = (): BatchPolicy => ({
  act(_, __, actions) {
    actions.fill(0);
  },
  dispose() {},
});

/**
 * A published model's policy, without noise, run as the server runs it (`src/onnx/small-network.ts`): the same observation gives the
 * same bits here and there. A hyper policy's primary runs when contexts have changed.
 * One that adapts acts as before adaptation.
 * @throws HyperpolicyError failed_precondition: no policy in the package, other specs than the environment's, or one that adapts and
 *   does not read the task
 */
export function createPackagePolicy(
  { directory, manifest, files }: ModelPackage,
  { specs, threadCount }: { readonly specs: PolicySpecs; readonly threadCount: number },
): BatchPolicy {
  const { policy, encoder, adapt, context, environment } = manifest;
  const refuse = (expected: string, actual: string, remedy?: string) =>
    failedPrecondition({ where: directory, expected, actual, remedy });
  if (policy === null) throw refuse('a package with a policy', 'one without');
  const adapts = encoder !== null || adapt !== null;
  // A policy need not read the task.
  const wanted = context === null && !adapts ? { ...specs, context } : specs;
  if (fingerprint(wanted) !== manifest.fingerprint) {
    const { expected, actual } = specDifference(wanted, manifest);
    throw refuse(
      `a model for the environment's ${expected}`,
      `one for ${actual}`,
      adapts ? 'This model adapts to experience: serve it, and use hyperpolicy eval' : environmentRemedy(environment),
    );
  }
  const open = ({ file }: { readonly file: string }): Opened => {
    const model = files.get(file)!;
    return { model, session: openSession(model, { threadCount, foreign: true }, file) };
  };
  const observationSize = specSize(specs.observation);
  return policy.kind === 'plain'
    ? plainPolicy(open(policy.graph), observationSize)
    : hyperPolicy(open(policy.primary), open(policy.dynamic), observationSize, specSize(specs.context!));
}

/** @param name `none` for packages that were made without one */
const environmentRemedy = (name: string): string =>
  name === 'none'
    ? 'It was made for no environment: choose one that has its specs'
    : `Name the environment that it was trained in, "${name}", or train anew if that has changed`;

type Opened = { readonly model: Uint8Array; readonly session: Session };

function plainPolicy(opened: Opened, observationSize: number): BatchPolicy {
  const network = createSmallNetwork(opened);
  const takesContext = opened.session.inputs.some(({ name }) => name === 'context');
  return {
    act(observations, contexts, actions) {
      const rows = {
        observation: observations,
        context: takesContext ? Float32Array.from(contexts) : undefined,
      };
      const { action } = network.runAtOnce({ rowCount: observations.length / observationSize, rows });
      actions.set(action!);
    },
    dispose: () => opened.session.dispose(),
  };
}

function hyperPolicy(
  { session: primary }: Opened,
  dynamic: Opened,
  observationSize: number,
  contextSize: number,
): BatchPolicy {
  const weightNames = primary.outputs.map(({ name }) => name);
  const network = createSmallNetwork({ ...dynamic, weightNames });
  let generated: { readonly contexts: Float64Array; readonly weights: SmallWeights } | undefined;

  const weightsOf = (contexts: Float64Array): SmallWeights => {
    const same =
      generated?.contexts.length === contexts.length && generated.contexts.every((v, i) => v === contexts[i]);
    if (!same) {
      const rowCount = contexts.length / contextSize;
      const tensor = floatTensor(Float32Array.from(contexts), [rowCount, contextSize]);
      generated = { contexts: contexts.slice(), weights: blocksOf(primary.run({ context: tensor }), weightNames) };
    }
    return generated!.weights;
  };

  return {
    act(observations, contexts, actions) {
      const weights = weightsOf(contexts);
      const rowCount = observations.length / observationSize;
      const { action } = network.runAtOnce({ rowCount, rows: { observation: observations }, weights });
      actions.set(action!);
    },
    dispose() {
      primary.dispose();
      dynamic.session.dispose();
    },
  };
}

/** One block of generated weights per row, and row -> block. */
function blocksOf(outputs: TensorMap, names: readonly string[]): SmallWeights {
  const tensors = names.map((name) => outputs[name]!);
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
  return { entries, index: Int32Array.from(entries, (_, row) => row), feeds: () => outputs };
}
