/** Policy architectures by name. */

import { invalidArgument } from '../../contract/errors.ts';
import type { HyperOptions } from '../hyper/hypernetwork.ts';
import { hyperPolicy } from './hyper.ts';
import { mlpPolicy } from './mlp.ts';
import type { ActionDistribution, Policy, PolicySizes } from './policy.ts';

/** The hypernetwork's options hold for hypernetworks. */
export type PolicyConfig = HyperOptions & {
  /** A name in {@link policyNames}. */
  readonly architecture: string;
  /** Widths of an MLP's hidden layers; the named architecture's if absent. */
  readonly hiddenSizes?: readonly number[] | undefined;
};

/** Whether the policy has a context: always, never, or where the sizes say so. */
type ContextUse = 'required' | 'none' | 'optional';

type Entry = {
  readonly context: ContextUse;
  readonly build: (config: PolicyConfig, sizes: PolicySizes) => Policy;
};

const mlpEntry = (
  architecture: string,
  distribution: ActionDistribution,
  hiddenSizes: readonly number[],
  context: ContextUse,
): Entry => ({
  context,
  build: (config, sizes) => mlpPolicy(architecture, distribution, sizes, config.hiddenSizes ?? hiddenSizes),
});

const hyperEntry = (architecture: string, distribution: ActionDistribution): Entry => ({
  context: 'required',
  build: (config, { contextSize = 0, ...sizes }) =>
    hyperPolicy(architecture, distribution, { ...sizes, contextSize }, config),
});

const entries: Readonly<Record<string, Entry>> = {
  'td3-policy': mlpEntry('td3-policy', 'deterministic', [256, 256], 'optional'),
  'sac-policy': mlpEntry('sac-policy', 'tanh-gaussian', [256, 256], 'optional'),
  maml: mlpEntry('maml', 'gaussian', [100, 100], 'none'),
  'context-maml': mlpEntry('context-maml', 'gaussian', [100, 100], 'required'),
  'hyper-maml': hyperEntry('hyper-maml', 'gaussian'),
  'pearl-policy': mlpEntry('pearl-policy', 'tanh-gaussian', [300, 300, 300], 'required'),
  'pearl-hyper-policy': hyperEntry('pearl-hyper-policy', 'tanh-gaussian'),
  'td3-hyper-policy': hyperEntry('td3-hyper-policy', 'deterministic'),
  'sac-hyper-policy': hyperEntry('sac-hyper-policy', 'tanh-gaussian'),
};

export const policyNames: readonly string[] = Object.keys(entries);

/** A file may have any text for a name, such as `constructor`. */
const entryOf = (architecture: string): Entry | undefined =>
  Object.hasOwn(entries, architecture) ? entries[architecture] : undefined;

/** Whether an architecture needs a context. */
export const policyNeedsContext = (architecture: string): boolean => entryOf(architecture)?.context === 'required';

/** @throws HyperpolicyError invalid_argument: an unknown architecture; a context size that it needs or does not take */
export function createPolicy(config: PolicyConfig, sizes: PolicySizes): Policy {
  const entry = entryOf(config.architecture);
  if (entry === undefined) {
    throw invalidArgument({
      where: 'policy',
      expected: `one of ${policyNames.join(', ')}`,
      actual: `"${config.architecture}"`,
    });
  }
  const { contextSize = 0 } = sizes;
  const fits = entry.context === 'optional' || (entry.context === 'required') === contextSize > 0;
  if (!fits) {
    const expected = entry.context === 'required' ? 'a context of at least one value' : 'no context';
    throw invalidArgument({ where: `policy ${config.architecture}`, expected, actual: `context size ${contextSize}` });
  }
  return entry.build(config, sizes);
}
