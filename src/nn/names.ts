/** Names that settings of networks take, apart from the networks, which take long to load. */

/** Critics whose weights a primary network generates. */
export const hyperCriticNames: readonly string[] = ['sa-hyper', 'as-hyper', 'emb-hyper'];

/** How a hypernetwork may start; hyper/initialisation.ts has the schemes. */
export const hyperInitialisations = ['hyperl', 'default', 'bias-hyperinit', 'weight-hyperinit', 'hfi'] as const;
