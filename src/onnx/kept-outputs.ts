/**
 * Output memory that every run uses again. Fresh memory costs more than the copy into it: the system clears each page, and memory outside
 * the heap makes garbage collections more frequent.
 */

import { sizeOf } from '../contract/counts.ts';
import { floatTensor, type Session, type TensorMap } from './session.ts';

/** Outputs to be written in place for such inputs, all or those of these names; undefined if their shapes are not known beforehand, or they are too large to keep. */
export type KeptOutputs = (feeds: TensorMap, names?: readonly string[]) => TensorMap | undefined;

/** Larger outputs get memory for one run only. */
const keptBytesMax = 16 * 2 ** 20;

/** Memory for the outputs of one run after the other. */
export type OutputMemory = { floats: Float32Array };

export const createOutputMemory = (): OutputMemory => ({ floats: new Float32Array(0) });

/**
 * What it returns is written again by the next run.
 * @param memory sessions that run by turns may share it: left to each, what closed sessions had would stay until a collection
 */
export function keepOutputs(
  { inputs, outputs }: Pick<Session, 'inputs' | 'outputs'>,
  memory: OutputMemory = createOutputMemory(),
): KeptOutputs {
  const isFloat = outputs.every(({ dtype }) => dtype === 'float32');

  return (feeds, names) => {
    const wanted = names === undefined ? outputs : outputs.filter(({ name }) => names.includes(name));
    const shapes = isFloat ? shapesFor(feeds, wanted) : undefined;
    if (shapes === undefined) return undefined;
    const counts = shapes.map(sizeOf);
    const count = counts.reduce((sum, size) => sum + size, 0);
    if (count * 4 > keptBytesMax) return undefined;
    if (count > memory.floats.length) memory.floats = new Float32Array(count);
    let from = 0;
    const tensors: TensorMap = {};
    wanted.forEach(({ name }, i) => {
      tensors[name] = floatTensor(memory.floats.subarray(from, from + counts[i]!), shapes[i]!);
      from += counts[i]!;
    });
    return tensors;
  };

  /** Shapes of the outputs, each symbolic size being what the feeds have for it; those without a name are all "" and nothing alike. */
  function shapesFor(feeds: TensorMap, wanted: Session['outputs']): number[][] | undefined {
    const sizes = new Map<string, number>();
    for (const { name, shape } of inputs) {
      shape.forEach((size, i) => {
        if (typeof size === 'string' && size !== '') sizes.set(size, feeds[name]?.dims[i] ?? 0);
      });
    }
    const shapes = wanted.map(({ shape }) =>
      shape.map((size) => (typeof size === 'string' ? (sizes.get(size) ?? Number.NaN) : size)),
    );
    return shapes.flat().includes(Number.NaN) ? undefined : shapes;
  }
}
