/** Names that settings of networks take, apart from the networks, which take long to load. */

/** Critics: the nine of the paper, then those from later work. */
export const criticNames = [
  'mlp-standard',
  'mlp-small',
  'mlp-large',
  'resnet-features',
  'resnet35',
  'q-d2rl',
  'sa-hyper',
  'as-hyper',
  'emb-hyper',
  'bronet',
  'simba-v2',
] as const;

export type CriticName = (typeof criticNames)[number];

/** Critics whose weights a primary network generates. */
export const hyperCriticNames: readonly string[] = ['sa-hyper', 'as-hyper', 'emb-hyper'];

/** How a hypernetwork may start; hyper/initialisation.ts has the schemes. */
export const hyperInitialisations = ['hyperl', 'default', 'bias-hyperinit', 'weight-hyperinit', 'hfi'] as const;
