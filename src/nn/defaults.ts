/** What options of networks are unless given, apart from the networks, which take long to load. */

import { hyperCriticNames } from './names.ts';

/** The paper's hypernetwork; its trunk has 6.17 M parameters with 17 meta values. Heads are full unless a rank is given. */
export const hyperDefaults = {
  trunkSizes: [256, 512, 1024],
  dynamicHiddenSizes: [256],
  initialisation: 'hyperl',
  trunkLayerNorm: false,
  dynamicDense: false,
} as const;

/** Widths of the hidden layers of MLP critics. */
export const mlpCriticSizes = {
  'mlp-standard': [256, 256],
  'mlp-small': [256],
  'mlp-large': [2900, 2900],
} as const satisfies Record<string, readonly number[]>;

type CriticDefaults = Partial<typeof hyperDefaults> & { readonly hiddenSizes?: readonly number[] };

/** The options that a critic reads and that have a default. @param architecture any text: one that is no critic reads nothing */
export function criticDefaults(architecture: string): CriticDefaults {
  if (hyperCriticNames.includes(architecture)) return hyperDefaults;
  if (architecture === 'resnet-features') return { trunkSizes: hyperDefaults.trunkSizes };
  const isMlp = Object.hasOwn(mlpCriticSizes, architecture);
  return isMlp ? { hiddenSizes: mlpCriticSizes[architecture as keyof typeof mlpCriticSizes] } : {};
}
