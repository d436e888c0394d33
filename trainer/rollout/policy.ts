/** Policies that act for a batch of environments: random, still, or a published model's. */

import { failedPrecondition } from '../../src/contract/errors.ts';
import { createRandom } from '../../src/contract/random.ts';
import { fingerprint, type PolicySpecs, specSize } from '../../src/contract/tensor-spec.ts';
import { floatTensor, indexTensor, openSession, type Session, type TensorMap } from '../../src/onnx/session.ts';
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

/** Uniform within the bounds; standard normal where there are none. */
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
 * A published model's policy, without noise: one run per batch. A hyper policy's primary runs where contexts have changed.
 * @throws HyperpolicyError failed_precondition: no policy in the package, or other specs than the environment's
 */
export function createPackagePolicy(
  { directory, manifest, files }: ModelPackage,
  { specs, threadCount }: { readonly specs: PolicySpecs; readonly threadCount: number },
): BatchPolicy {
  const { policy } = manifest;
  const refuse = (expected: string, actual: string) => failedPrecondition({ where: directory, expected, actual });
  if (policy === null) throw refuse('a package with a policy', 'one without');
  if (fingerprint(specs) !== manifest.fingerprint) {
    throw refuse(`the specs of the environment (${fingerprint(specs)})`, `those of ${manifest.environment}`);
  }
  const open = ({ file }: { readonly file: string }) => openSession(files.get(file)!, { threadCount }, file);
  const sizes = { observation: specSize(specs.observation), action: specSize(specs.action) };
  return policy.kind === 'plain'
    ? plainPolicy(open(policy.graph), sizes, specs)
    : hyperPolicy(open(policy.primary), open(policy.dynamic), sizes, specs);
}

type Sizes = { readonly observation: number; readonly action: number };

const takes = ({ inputs }: Session, name: string): boolean => inputs.some((input) => input.name === name);

/** Ordinary arrays for a number of rows; the same while the number stays. */
function createFeeds(session: Session, { observation, action }: Sizes) {
  let rowCount = -1;
  let feeds: TensorMap = {};
  return (observations: Float32Array): { readonly feeds: TensorMap; readonly rowCount: number } => {
    if (observations.length !== rowCount * observation) {
      rowCount = observations.length / observation;
      const zeros = (size: number) => floatTensor(new Float32Array(rowCount * size), [rowCount, size]);
      feeds = { observation: zeros(observation), ...(takes(session, 'noise') && { noise: zeros(action) }) };
    }
    (feeds.observation!.data as Float32Array).set(observations);
    return { feeds, rowCount };
  };
}

function plainPolicy(session: Session, sizes: Sizes, { context }: PolicySpecs): BatchPolicy {
  const feed = createFeeds(session, sizes);
  return {
    act(observations, contexts, actions) {
      const { feeds, rowCount } = feed(observations);
      if (takes(session, 'context')) {
        feeds.context = floatTensor(Float32Array.from(contexts), [rowCount, specSize(context!)]);
      }
      actions.set(session.run(feeds).action!.data as Float32Array);
    },
    dispose: () => session.dispose(),
  };
}

function hyperPolicy(primary: Session, dynamic: Session, sizes: Sizes, { context }: PolicySpecs): BatchPolicy {
  const feed = createFeeds(dynamic, sizes);
  let generated: { readonly contexts: Float64Array; readonly weights: TensorMap } | undefined;
  const weightsOf = (contexts: Float64Array, rowCount: number): TensorMap => {
    const same =
      generated?.contexts.length === contexts.length && generated.contexts.every((v, i) => v === contexts[i]);
    if (!same) {
      const tensor = floatTensor(Float32Array.from(contexts), [rowCount, specSize(context!)]);
      generated = { contexts: contexts.slice(), weights: primary.run({ context: tensor }) };
    }
    return generated!.weights;
  };
  return {
    act(observations, contexts, actions) {
      const { feeds, rowCount } = feed(observations);
      const index = indexTensor(Array.from({ length: rowCount }, (_, row) => row));
      const output = dynamic.run({ ...weightsOf(contexts, rowCount), ...feeds, index });
      actions.set(output.action!.data as Float32Array);
    },
    dispose() {
      primary.dispose();
      dynamic.dispose();
    },
  };
}
