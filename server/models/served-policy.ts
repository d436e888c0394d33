/** A policy that is loaded: `observation`, `context` where there is one, `noise` -> `action`, `log_prob` where it is defined. */

import { rowRules } from './graph-contract.ts';
import { type OpenNetworkOptions, openNetwork, type ServedNetwork } from './served-network.ts';

export type ServedPolicy = ServedNetwork & { readonly stochastic: boolean };

/** Opens the policy of a package; null where it has none. The caller disposes it. */
export async function openPolicy(options: OpenNetworkOptions): Promise<ServedPolicy | null> {
  const { policy } = options.manifest;
  if (policy === null) return null;
  const { stochastic } = policy;
  const { observation, noise, action, context, contexts } = rowRules(options.manifest);
  const logProb = { name: 'log_prob', sizes: [], optional: true };
  const network = await openNetwork(options, policy, {
    priority: 'act',
    runsHere: true,
    from: context,
    inputs: [observation, ...contexts, ...(stochastic ? [noise] : [])],
    outputs: stochastic ? [action, logProb] : [action],
  });
  return { ...network, stochastic };
}
