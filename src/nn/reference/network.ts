/**
 * The reference's trained networks as ours: from the shapes of a PyTorch state dict to a network and to where each of its
 * tensors goes. Widths of trunk and dynamic layers are read from the shapes.
 */

import { type ErrorFields, invalidArgument } from '../../contract/errors.ts';
import type { HyperOptions } from '../hyper/hypernetwork.ts';
import { createNetwork, type Network, type NetworkDescription, networkSpecs } from '../network.ts';
import type { ParameterSpecs, ParameterViews } from '../parameters.ts';
import { type HeadLayout, type HeadRows, type Placement, placement, toOurs } from './arrange.ts';
import { namings, splitTwin } from './names.ts';

export type ReferenceSizes = {
  readonly observationSize: number;
  readonly actionSize: number;
  /** 0 if there is no context. */
  readonly contextSize: number;
};

/** Where one of the reference's tensors goes. */
type ReferenceTensor = { readonly ours: string; readonly place: Placement };

export type ReferenceNetwork = {
  readonly network: Network;
  /** By the reference's names. */
  readonly tensors: ReadonlyMap<string, ReferenceTensor>;
};

export const referenceNames: readonly string[] = Object.keys(namings);

const policies = new Set(['hyper-maml', 'pearl-hyper-policy']);
const needContext = new Set([...policies, 'pearl-hyper-critic']);

type Shapes = ReadonlyMap<string, readonly number[]>;

/**
 * The network that a state dict belongs to.
 * @param shapes by the reference's names
 * @throws HyperpolicyError invalid_argument: an unknown architecture, a name that it does not have, one that is missing, a
 *   shape that differs, a context size that it needs or does not take
 */
export function referenceNetwork(architecture: string, sizes: ReferenceSizes, shapes: Shapes): ReferenceNetwork {
  const naming = Object.hasOwn(namings, architecture) ? namings[architecture] : undefined;
  if (naming === undefined) {
    throw invalidArgument({
      where: 'reference architecture',
      expected: `one of ${referenceNames.join(', ')}`,
      actual: `"${architecture}"`,
    });
  }
  const { contextSize } = sizes;
  if (needContext.has(architecture) !== contextSize > 0) {
    throw refuse(architecture, {
      expected: needContext.has(architecture) ? 'a context size of at least 1' : 'no context size',
      actual: `${contextSize}`,
    });
  }
  const split = [...shapes].map(([theirs, shape]) => ({ theirs, shape, ...splitTwin(theirs) }));
  const isPolicy = policies.has(architecture);
  const ensembleSize = split.some(({ twin }) => twin === 1) ? 2 : 1;
  const locals = (twin: number | undefined) => split.flatMap((entry) => (entry.twin === twin ? [entry.local] : []));
  const named = split.map((entry) => {
    const ours = naming(entry.local, locals(entry.twin));
    if (ours === undefined) {
      throw refuse(architecture, { expected: 'names of the reference for it', actual: `"${entry.theirs}"` });
    }
    const prefix = isPolicy || ours.startsWith('shared.') ? '' : `q${entry.twin ?? 0}.`;
    return { ...entry, inMember: ours, ours: `${prefix}${ours}` };
  });
  const network = createNetwork(describe(architecture, sizes, { ensembleSize, options: widthsOf(named) }));
  const specs = networkSpecs(network);
  const layout: HeadLayout = architecture === 'hyper-maml' ? 'in-out' : 'out-in';
  const tensors = new Map(
    named.map(({ theirs, shape, inMember, ours }): [string, ReferenceTensor] => {
      checkShape({ architecture, sizes, theirs, shape }, specs[ours]?.shape);
      const place = placement(shape, layout === 'out-in' ? headRowsOf(specs, ours, inMember) : undefined);
      return [theirs, { ours, place }];
    }),
  );
  const filled = new Set([...tensors.values()].map(({ ours }) => ours));
  const missing = Object.keys(specs).filter((name) => !filled.has(name));
  if (missing.length > 0 || filled.size !== tensors.size) {
    const actual =
      missing.length > 0 ? `none for ${missing.length} of ours, first "${missing[0]}"` : 'two for one of ours';
    throw refuse(architecture, { expected: `${Object.keys(specs).length} tensors, one each`, actual });
  }
  return { network, tensors };
}

/** The values of a state dict in our names and layouts. Names as in {@link referenceNetwork}. */
export const referenceParameters = (
  { tensors }: ReferenceNetwork,
  values: ReadonlyMap<string, Float32Array>,
): ParameterViews =>
  Object.fromEntries([...tensors].map(([theirs, { ours, place }]) => [ours, toOurs(values.get(theirs)!, place)]));

function describe(
  architecture: string,
  sizes: ReferenceSizes,
  { ensembleSize, options }: { readonly ensembleSize: 1 | 2; readonly options: HyperOptions },
): NetworkDescription {
  if (policies.has(architecture)) return { kind: 'policy', config: { ...options, architecture }, sizes };
  const named = architecture === 'pearl-hyper-critic' ? 'sa-hyper' : architecture;
  return { kind: 'critic', config: { ...options, architecture: named }, sizes: { ...sizes, ensembleSize } };
}

/** The widths that the reference's tensors have, where there is a trunk or a head. */
function widthsOf(named: readonly { readonly inMember: string; readonly shape: readonly number[] }[]): HyperOptions {
  const shapes = new Map(named.map(({ inMember, shape }) => [inMember, shape]));
  const trunkSizes: number[] = [];
  for (let stage = 0; shapes.has(`primary.stage${stage}.input.weight`); stage++) {
    trunkSizes.push(shapes.get(`primary.stage${stage}.input.weight`)![0]!);
  }
  const hidden = shapes.get('head0.bias.bias')?.[0];
  return {
    ...(trunkSizes.length > 0 && { trunkSizes }),
    ...(hidden !== undefined && { dynamicHiddenSizes: [hidden] }),
  };
}

/** The generated layer of a weight head's tensor; undefined for every other tensor. */
function headRowsOf(specs: ParameterSpecs, ours: string, inMember: string): HeadRows | undefined {
  const match = /^head\d+\.weight\.(weight|bias)$/.exec(inMember);
  if (match === null) return undefined;
  const prefix = ours.slice(0, ours.length - `weight.${match[1]}`.length);
  const outputSize = specs[`${prefix}bias.bias`]!.shape[0]!;
  return { inputSize: specs[`${prefix}weight.bias`]!.shape[0]! / outputSize, outputSize };
}

type Given = {
  readonly architecture: string;
  readonly sizes: ReferenceSizes;
  readonly theirs: string;
  readonly shape: readonly number[];
};

function checkShape({ architecture, sizes, theirs, shape }: Given, ours: readonly number[] | undefined): void {
  const { observationSize, actionSize, contextSize } = sizes;
  const of = `${architecture} with observation ${observationSize}, action ${actionSize}, context ${contextSize}`;
  const where = `tensor "${theirs}"`;
  if (ours === undefined)
    throw invalidArgument({ where, expected: `a tensor of ${of}`, actual: `one more, [${shape}]` });
  const expected = [...ours].reverse();
  if (shape.length === expected.length && shape.every((size, i) => size === expected[i])) return;
  throw invalidArgument({ where, expected: `[${expected.join(', ')}], as ${of}`, actual: `[${shape.join(', ')}]` });
}

const refuse = (architecture: string, fields: Pick<ErrorFields, 'expected' | 'actual'>) =>
  invalidArgument({ where: `reference ${architecture}`, ...fields });
