/**
 * A network in a safetensors file: one float32 tensor per parameter, under its name and in its shape here, and as JSON texts in the
 * metadata the network's description and its interface, so that the file alone says how to act. README.md lists the names.
 */

import { z } from 'zod';
import { invalidArgument } from '../contract/errors.ts';
import { type SafetensorsFile, writeSafetensors } from '../package/safetensors.ts';
import { hyperInitialisations } from './names.ts';
import { createNetwork, type Network, networkSpecs } from './network.ts';
import { formatInterface, type NetworkInterface, parseInterface } from './network-interface.ts';
import type { ParameterViews } from './parameters.ts';

const metadataKey = 'hyperpolicy.network';
const interfaceKey = 'hyperpolicy.interface';

const size = z.number().int().positive();
const config = z.object({
  architecture: z.string(),
  hiddenSizes: z.array(size).optional(),
  trunkSizes: z.array(size).optional(),
  dynamicHiddenSizes: z.array(size).optional(),
  initialisation: z.enum(hyperInitialisations).optional(),
  trunkLayerNorm: z.boolean().optional(),
  dynamicDense: z.boolean().optional(),
  headRank: size.optional(),
});
const sizes = z.object({
  observationSize: size,
  actionSize: size,
  contextSize: z.number().int().nonnegative().optional(),
});
const descriptionSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('policy'), config, sizes }),
  z.object({
    kind: z.literal('critic'),
    config,
    sizes: sizes.extend({ ensembleSize: z.number().int().min(1).max(2) }),
  }),
]);

/**
 * The bytes of a network's file.
 * @param use what it needs to act in its environment; without it the file has no units
 */
export function writeNetwork(network: Network, parameters: ParameterViews, use?: NetworkInterface): Uint8Array {
  const tensors = Object.entries(networkSpecs(network)).map(
    ([name, { shape }]) => [name, { shape, data: parameters[name]! }] as const,
  );
  return writeSafetensors({
    tensors: new Map(tensors),
    metadata: {
      [metadataKey]: JSON.stringify(network.description),
      ...(use !== undefined && { [interfaceKey]: formatInterface(use) }),
    },
  });
}

/** Whether a file says that it holds a network of ours. */
export const holdsNetwork = ({ metadata }: SafetensorsFile): boolean => metadataKey in metadata;

export type NetworkContent = {
  readonly network: Network;
  readonly parameters: ParameterViews;
  /** Undefined if the file was written without. */
  readonly use: NetworkInterface | undefined;
};

/**
 * The network of a file that {@link writeNetwork} made.
 * @param where names the file in errors
 * @throws HyperpolicyError invalid_argument: a description or interface that does not parse; a tensor that is missing, unknown or of
 *   another shape
 */
export function readNetwork({ tensors, metadata }: SafetensorsFile, where: string): NetworkContent {
  const network = createNetwork(parseDescription(metadata[metadataKey] ?? '', where));
  const specs = networkSpecs(network);
  const unknown = [...tensors.keys()].find((name) => !Object.hasOwn(specs, name));
  if (unknown !== undefined)
    throw invalidArgument({ where, expected: "the network's tensors", actual: `"${unknown}"` });
  const parameters = Object.entries(specs).map(([name, { shape }]) => {
    const stored = tensors.get(name);
    if (stored?.shape.join() !== shape.join()) {
      throw invalidArgument({
        where: `${where} tensor "${name}"`,
        expected: `[${shape.join(', ')}]`,
        actual: stored === undefined ? 'none' : `[${stored.shape.join(', ')}]`,
      });
    }
    return [name, stored.data] as const;
  });
  const text = metadata[interfaceKey];
  const use =
    text === undefined ? undefined : parseInterface(text, network.description, `${where} metadata "${interfaceKey}"`);
  return { network, parameters: Object.fromEntries(parameters), use };
}

function parseDescription(text: string, where: string) {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  const parsed = descriptionSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw invalidArgument({
    where: `${where} metadata "${metadataKey}"`,
    expected: 'the description of a network',
    actual: parsed.error.issues[0]!.message,
  });
}
