/** How the reference's PyTorch parameters are named, per architecture, and which of ours each is. */

/** The name without the part that says which of the twins it belongs to -> our name in one member; undefined if unknown. */
export type Naming = (local: string, all: readonly string[]) => string | undefined;

const otherHyperNames: ReadonlyMap<string, string> = new Map([
  ['sigma', 'logStd'],
  ['embedding', 'shared.embedding'],
]);

/**
 * A hypernetwork: `hyper.hyper.N` are the trunk's linear layers (N = 0, 3, 6) and residual blocks, then the heads. Policies
 * and PEARL's networks have one `hyper.` more in front.
 */
const hyperNames: Naming = (local) => {
  const trunk = /^(?:hyper\.)??hyper\.hyper\.(\d+)\.(?:fc\.([13])\.)?(weight|bias)$/.exec(local);
  if (trunk !== null) return trunkName(trunk[1]!, trunk[2], trunk[3]!);
  const head = /^(?:hyper\.)?(layer1|last_layer|last_layer_log)\.([Wbs])1\.(weight|bias)$/.exec(local);
  if (head !== null) {
    const index = { layer1: 0, last_layer: 1, last_layer_log: 2 }[head[1] as 'layer1'];
    return `head${index}.${{ W: 'weight', b: 'bias', s: 'gain' }[head[2] as 'W']}.${head[3]}`;
  }
  return otherHyperNames.get(local);
};

/** Position N of the trunk: a linear layer, then two blocks with layers `fc.1` and `fc.3`, and so on. */
function trunkName(position: string, fc: string | undefined, kind: string): string | undefined {
  const stage = Math.floor(Number(position) / 3);
  const place = Number(position) % 3;
  if ((place === 0) !== (fc === undefined)) return undefined;
  const layer = place === 0 ? 'input' : `block${place - 1}.${fc === '1' ? 'first' : 'second'}`;
  return `primary.stage${stage}.${layer}.${kind}`;
}

/** Layers in order, whatever they are called: `0 2 4`, `linear1 linear2 linear3`, `fc0 fc1 last_fc`. */
const mlpNames: Naming = (local, all) => {
  const stemOf = (name: string) => name.replace(/\.(weight|bias)$/, '');
  const last = (stem: string) => (stem.startsWith('last') ? 1 : 0);
  const stems = [...new Set(all.map(stemOf))].sort(
    (a, b) => last(a) - last(b) || a.localeCompare(b, 'en', { numeric: true }),
  );
  const kind = /\.(weight|bias)$/.exec(local)?.[1];
  return kind === undefined ? undefined : `layer${stems.indexOf(stemOf(local))}.${kind}`;
};

/** `l1_1 ... l1_4` and `out1`. */
const d2rlNames: Naming = (local) => {
  const match = /^(?:l\d_([1-4])|out\d)\.(weight|bias)$/.exec(local);
  if (match === null) return undefined;
  return `${match[1] === undefined ? 'output' : `layer${Number(match[1]) - 1}`}.${match[2]}`;
};

/** `0`, `block_0 ... block_34` with `fc.1` and `fc.3`, and `fc`. */
const resnet35Names: Naming = (local) => {
  const block = /^block_(\d+)\.fc\.([13])\.(weight|bias)$/.exec(local);
  if (block !== null) return `block${block[1]}.${block[2] === '1' ? 'first' : 'second'}.${block[3]}`;
  const end = /^(0|fc)\.(weight|bias)$/.exec(local);
  return end === null ? undefined : `${end[1] === '0' ? 'input' : 'output'}.${end[2]}`;
};

/** `emb.0.hyper.N` the trunk, `emb.1` the features, then the layers `0` and `2` of the rest. */
const resnetFeaturesNames: Naming = (local) => {
  const trunk = /^emb\.0\.hyper\.(\d+)\.(?:fc\.([13])\.)?(weight|bias)$/.exec(local);
  if (trunk !== null) return trunkName(trunk[1]!, trunk[2], trunk[3]!);
  const linear = /^(emb\.1|0|2)\.(weight|bias)$/.exec(local);
  if (linear === null) return undefined;
  return `${{ 'emb.1': 'features', 0: 'mlp.layer0', 2: 'mlp.layer1' }[linear[1] as '0']}.${linear[2]}`;
};

/** Architectures that the reference has, by the names of our registries and those of the importer. */
export const namings: Readonly<Record<string, Naming>> = {
  'mlp-standard': mlpNames,
  'mlp-small': mlpNames,
  'mlp-large': mlpNames,
  'resnet-features': resnetFeaturesNames,
  resnet35: resnet35Names,
  'q-d2rl': d2rlNames,
  'sa-hyper': hyperNames,
  'as-hyper': hyperNames,
  'emb-hyper': hyperNames,
  'hyper-maml': hyperNames,
  'pearl-hyper-policy': hyperNames,
  'pearl-hyper-critic': hyperNames,
};

/** A name's twin (0 or 1; undefined if it has none) and the rest of it. `q1_emb.` becomes `emb.` of the first twin. */
export function splitTwin(name: string): { readonly twin: number | undefined; readonly local: string } {
  const match = /^q([12])(_emb)?\.(.*)$/.exec(name);
  if (match === null) return { twin: undefined, local: name };
  // Some of the reference's single networks are called q1 themselves: q2.q1.0.weight is the second twin's.
  const inner = match[3]!.replace(/^q1(_emb)?\./, (_, emb: string | undefined) => (emb === undefined ? '' : 'emb.'));
  return { twin: Number(match[1]) - 1, local: match[2] === undefined ? inner : `emb.${match[3]}` };
}
