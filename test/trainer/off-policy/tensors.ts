/** The networks of test/golden/updates in our names and layouts, and back: a golden tensor is [out, in], ours [in, out]. */

import type { ParameterViews } from '../../../src/nn/parameters.ts';
import { referenceNetwork } from '../../../src/nn/reference/network.ts';
import { formula, type ReferenceParameter } from '../../nn/reference.ts';

/** Where element i of a golden tensor lies in ours. */
type Place = { readonly ours: string; readonly place: (i: number) => number };

/** One network: its golden tensors in order, the k of the first, and where each lies. */
export type GoldenNetwork = {
  readonly tensors: readonly ReferenceParameter[];
  readonly firstK: number;
  readonly places: readonly Place[];
};

/** Output layers that are one layer of ours: their columns come after those of the layer before. */
const isSecondHead = (stem: string) => /^(linear\d+b|last_fc_log_std)$/.test(stem);

const stemOf = (name: string) => name.replace(/\.(weight|bias)$/, '');

/** Fully connected layers in their order. */
export function mlpPlaces(tensors: readonly ReferenceParameter[]): Place[] {
  const stems = [...new Set(tensors.map(({ name }) => stemOf(name)))];
  const rowsOf = (stem: string) => tensors.find(({ name }) => name === `${stem}.bias`)!.shape[0]!;
  return tensors.map(({ name, shape }) => {
    const stem = stemOf(name);
    const index = stems.indexOf(stem);
    const [before, after] = [stems[index - 1], stems[index + 1]];
    const firstColumn = isSecondHead(stem) ? rowsOf(before!) : 0;
    const laterColumns = after !== undefined && isSecondHead(after) ? rowsOf(after) : 0;
    const columnCount = firstColumn + shape[0]! + laterColumns;
    const inputSize = shape[1] ?? 1;
    return {
      ours: `layer${isSecondHead(stem) ? index - 1 : index}.${name.endsWith('.weight') ? 'weight' : 'bias'}`,
      place: (i) => (i % inputSize) * columnCount + firstColumn + Math.floor(i / inputSize),
    };
  });
}

/** An MLP of each transition, PyTorch's GRU, and a linear layer. */
export const gruEncoderPlaces = (tensors: readonly ReferenceParameter[]): Place[] =>
  tensors.map(({ name, shape: [rows, columns = 1] }) => ({
    ours: name
      .replace(/^fc(\d+)/, 'mlp.layer$1')
      .replace('last_fc', 'output')
      .replace(/^gru\.(weight|bias)_(ih|hh)_l0$/, (_, part, of) => `gru.${of === 'ih' ? 'input' : 'state'}.${part}`),
    place: (i) => (i % columns) * rows! + Math.floor(i / columns),
  }));

/** A hypernetwork by the importer's table of names. */
export function hyperPlaces(
  architecture: string,
  sizes: { readonly observationSize: number; readonly actionSize: number; readonly contextSize: number },
  tensors: readonly ReferenceParameter[],
): Place[] {
  const reference = referenceNetwork(architecture, sizes, new Map(tensors.map(({ name, shape }) => [name, shape])));
  return tensors.map(({ name }) => {
    const { ours, place } = reference.tensors.get(name)!;
    return { ours: ours.replace(/^q0\./, ''), place };
  });
}

/** The networks of a case one after the other, k running on. */
export function goldenNetworks(
  order: readonly string[],
  networkOf: (name: string) => Omit<GoldenNetwork, 'firstK'>,
): Record<string, GoldenNetwork> {
  let firstK = 0;
  return Object.fromEntries(
    order.map((name) => {
      const network = { ...networkOf(name), firstK };
      firstK += network.tensors.length;
      return [name, network];
    }),
  );
}

/** The parameters by the formula, in our names. */
export function startOf({ tensors, firstK, places }: GoldenNetwork): Record<string, Float32Array> {
  const sizes = new Map<string, number>();
  tensors.forEach(({ shape }, j) => {
    const { ours } = places[j]!;
    sizes.set(ours, (sizes.get(ours) ?? 0) + shape.reduce((product, size) => product * size, 1));
  });
  const values = Object.fromEntries([...sizes].map(([name, size]) => [name, new Float32Array(size)]));
  tensors.forEach((tensor, j) => {
    const { ours, place } = places[j]!;
    formula(tensor, firstK + j).forEach((value, i) => {
      values[ours]![place(i)] = value;
    });
  });
  return values;
}

/** Values of ours as the golden tensors, in their order. */
export const goldenTensors = ({ tensors, places }: GoldenNetwork, values: ParameterViews): Float32Array[] =>
  tensors.map(({ shape }, j) => {
    const { ours, place } = places[j]!;
    const size = shape.reduce((product, n) => product * n, 1);
    return Float32Array.from({ length: size }, (_, i) => values[ours]![place(i)]!);
  });
