/** The reference networks' parameters by formula, and how their names and layouts map to ours. */

export type ReferenceParameter = { readonly name: string; readonly shape: readonly number[]; readonly bound: number };

export type Layout = {
  readonly baseSize: number;
  readonly hiddenSize: number;
  readonly outputSize: number;
  /** How a row of a weight head's output is reshaped: the reference's critics [out, in], its MAML policy [in, out]. */
  readonly headLayout: 'out-in' | 'in-out';
};

/** x[i] = sin(0.91 i + phase). */
export const sine = (size: number, phase: number): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => Math.sin(0.91 * i + phase));

/** Tensor k: bound * sin(0.37 (i + 1) + 1.7 (k + 1) + 0.013 (i^2 mod 997)), computed in float64. */
function formula({ shape, bound }: ReferenceParameter, k: number): Float32Array {
  const size = shape.reduce((product, n) => product * n, 1);
  // i^2 mod 997 through i mod 997 stays exact.
  return Float32Array.from(
    { length: size },
    (_, i) => bound * Math.sin(0.37 * (i + 1) + 1.7 * (k + 1) + 0.013 * ((i % 997) ** 2 % 997)),
  );
}

/** Reference name -> our name. Trunk layer N of nine: linear at 0, 3, 6; blocks between. */
function ourName(name: string): string {
  const trunk = /^hyper\.hyper\.(\d)\.(?:fc\.(\d)\.)?(weight|bias)$/.exec(name);
  if (trunk !== null) {
    const [, index, fc, kind] = trunk as unknown as [string, string, string | undefined, string];
    const stage = Math.floor(Number(index) / 3);
    const place = Number(index) % 3;
    const layer = place === 0 ? 'input' : `block${place - 1}.${fc === '1' ? 'first' : 'second'}`;
    return `primary.stage${stage}.${layer}.${kind}`;
  }
  const head = /^(layer1|last_layer)\.([Wbs])1\.(weight|bias)$/.exec(name);
  if (head === null) throw new Error(`unknown reference parameter ${name}`);
  const [, layer, map, kind] = head as unknown as [string, string, 'W' | 'b' | 's', string];
  return `head${layer === 'layer1' ? 0 : 1}.${{ W: 'weight', b: 'bias', s: 'gain' }[map]}.${kind}`;
}

/** For each element of the reference's tensor, its place in ours. */
function placement({ name, shape }: ReferenceParameter, layout: Layout): (i: number) => number {
  const [rows, columns] = shape.length === 2 ? (shape as [number, number]) : [shape[0]!, 1];
  const rowPlace = headRowPlace(name, layout);
  // Ours is [in, out] where the reference's is [out, in].
  return (i) => (i % columns) * rows + rowPlace(Math.floor(i / columns));
}

function headRowPlace(name: string, { baseSize, hiddenSize, outputSize, headLayout }: Layout): (row: number) => number {
  if (!/\.W1\./.test(name) || headLayout === 'in-out') return (row) => row;
  const [inputs, outputs] = name.startsWith('layer1') ? [baseSize, hiddenSize] : [hiddenSize, outputSize];
  return (row) => (row % inputs) * outputs + Math.floor(row / inputs);
}

/** Our parameters, by name, for the reference's formula. */
export function fromReference(parameters: readonly ReferenceParameter[], layout: Layout): Record<string, Float32Array> {
  return Object.fromEntries(
    parameters.map((parameter, k) => {
      const theirs = formula(parameter, k);
      const ours = new Float32Array(theirs.length);
      const place = placement(parameter, layout);
      theirs.forEach((value, i) => {
        ours[place(i)] = value;
      });
      return [ourName(parameter.name), ours];
    }),
  );
}

/** Our tensors in the reference's order and layout. */
export function toReference(
  parameters: readonly ReferenceParameter[],
  ours: Readonly<Record<string, Float32Array>>,
  layout: Layout,
): Float32Array[] {
  return parameters.map((parameter) => {
    const source = ours[ourName(parameter.name)]!;
    const place = placement(parameter, layout);
    return Float32Array.from({ length: source.length }, (_, i) => source[place(i)]!);
  });
}
