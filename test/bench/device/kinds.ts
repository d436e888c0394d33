/** Every kind of package, small or large. */

import type { RandomOptions } from '../../../trainer/export/random-package.ts';

export const sizes = { observationSize: 17, actionSize: 6, contextSize: 2 } as const;

/** What the manifest allows, by name. */
export const kinds: Readonly<Record<string, RandomOptions>> = {
  'plain policy': { policy: 'plain', critic: 'none', contextSize: 0 },
  'plain policy, sampled': { policy: 'plain', critic: 'none', contextSize: 0, stochastic: true },
  'plain policy with a context': { policy: 'plain', critic: 'none', contextSize: sizes.contextSize },
  'plain policy that adapts': { policy: 'plain', critic: 'none', contextSize: 0, stochastic: true, adapt: true },
  'plain policy with a context that adapts': {
    ...{ policy: 'plain', critic: 'none', stochastic: true, adapt: true },
    contextSize: sizes.contextSize,
  },
  'plain policy with an encoder': { policy: 'plain', critic: 'none', encoder: true },
  'hyper policy': { policy: 'hyper', critic: 'none' },
  'hyper policy with a gradient step': { policy: 'hyper', critic: 'none', stochastic: true, adapt: true },
  'hyper policy with an encoder': { policy: 'hyper', critic: 'none', stochastic: true, encoder: true },
  'plain critic': { policy: 'none', critic: 'plain', contextSize: 0 },
  'hyper critic': { policy: 'none', critic: 'hyper', contextSize: 0 },
  'hyper policy and critic': { policy: 'hyper', critic: 'hyper' },
};
