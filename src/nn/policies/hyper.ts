/** The hyper policy: the context generates a network of the observation. */

import { createHypernetwork, type HyperOptions } from '../hyper/hypernetwork.ts';
import { boundLogStd, globalLogStd, globalLogStdSpecs } from './log-std.ts';
import type { ActionDistribution, Policy, PolicySizes, PolicySplit } from './policy.ts';

/**
 * Meta variable = context, base = observation. `gaussian` (MAML): the mean is generated, the log-std is a parameter.
 * `tanh-gaussian` (PEARL): a second generated output layer gives the log-std, in [-20, 2]. `deterministic`: the mean alone.
 *
 * Source: Sarafian et al. 2021, section 4 and appendices E.3, E.4.
 */
export function hyperPolicy(
  architecture: string,
  distribution: ActionDistribution,
  sizes: PolicySizes & { readonly contextSize: number },
  options: HyperOptions,
): Policy {
  const { observationSize, actionSize, contextSize } = sizes;
  const logStdHead = distribution === 'tanh-gaussian';
  const hypernetwork = createHypernetwork({
    ...options,
    metaSize: contextSize,
    baseSize: observationSize,
    outputSize: actionSize,
    logStdHead,
  });
  const split: PolicySplit = {
    generate: hypernetwork.generate,
    evaluate(parameters, layers, observation) {
      const [mean, logStd] = hypernetwork.evaluate(parameters, layers, observation);
      if (distribution === 'deterministic') return { mean: mean! };
      return { mean: mean!, logStd: distribution === 'gaussian' ? globalLogStd(parameters) : boundLogStd(logStd!) };
    },
  };
  return {
    architecture,
    distribution,
    sizes,
    specs:
      distribution === 'gaussian' ? { ...globalLogStdSpecs(actionSize), ...hypernetwork.specs } : hypernetwork.specs,
    output: (parameters, observation, context) =>
      split.evaluate(parameters, split.generate(parameters, context!), observation),
    hypernetwork,
    split,
  };
}
