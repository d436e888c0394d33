/** Policies that act for a batch of environments: random, still, or a published model's. */

import { failedPrecondition } from '../../src/contract/errors.ts';
import { createRandom } from '../../src/contract/random.ts';
import type { PolicySpecs } from '../../src/contract/tensor-spec.ts';
import type { ModelPackage } from '../../src/package/package.ts';
import { adapts, openPackageNetwork } from './package-network.ts';
import { createActionDraws } from './random-actions.ts';

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

/** As {@link createActionDraws}. */
export function createRandomPolicy({ action }: PolicySpecs, seed: number): BatchPolicy {
  const random = createRandom(seed, 900);
  const draw = createActionDraws(action);
  return {
    act(_, __, actions) {
      draw(random, actions);
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
 * A published model's policy, without noise. One that adapts acts as before adaptation; adapting-policy.ts adapts it.
 * @throws HyperpolicyError failed_precondition: no policy in the package, other specs than the environment's, or one that adapts and
 *   does not read the task
 */
export function createPackagePolicy(
  content: ModelPackage,
  { specs, threadCount }: { readonly specs: PolicySpecs; readonly threadCount: number },
): BatchPolicy {
  const { manifest } = content;
  const { context, environment } = manifest;
  // Before specs are compared: the values of what it infers are none of the environment's.
  if (context?.source === 'latent' && adapts(manifest)) {
    throw failedPrecondition({
      where: content.directory,
      expected: 'a policy that acts without experience of its task',
      actual: 'one that infers its context from it',
      remedy: adaptsRemedy,
    });
  }
  const network = openPackageNetwork(content, {
    // A policy need not read the task.
    wanted: context === null && !adapts(manifest) ? { ...specs, context } : specs,
    threadCount,
    remedy: adapts(manifest) ? adaptsRemedy : environmentRemedy(environment),
  });
  return {
    act(observations, contexts, actions) {
      actions.set(network.act({ observations, contexts }));
    },
    dispose: network.dispose,
  };
}

const adaptsRemedy = 'This model adapts to experience, which hyperpolicy rollout and eval play';

/** @param name `none` for packages that were made without one */
export const environmentRemedy = (name: string): string =>
  name === 'none'
    ? 'It was made for no environment: choose one that has its specs'
    : `Name the environment that it was trained in, "${name}", or train anew if that has changed`;
