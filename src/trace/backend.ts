/**
 * The tfjs backend named `trace`: it executes nothing. Each kernel call appends nodes to the graph that is being built, and
 * a tensor's data is a graph value.
 */

import * as tf from '@tensorflow/tfjs-core';
import type { Builder } from '../onnx/builder.ts';
import { dense, fill } from '../onnx/builder.ts';
import { arrayTypes, type Data, type Dtype, isSymbolic, type Shape, type Symbols, type Value } from '../onnx/graph.ts';

export const traceBackendName = 'trace';

type DataId = tf.TensorInfo['dataId'];

export class TraceBackend extends tf.KernelBackend {
  /** The graph under construction; undefined outside a trace. */
  builder: Builder | undefined;
  /** The kernel that ran last, for the error of a read. */
  lastKernel = 'none';
  #values = new WeakMap<DataId, Value>();

  /** The builder, or an error where a traced tensor is used after its trace. */
  get graph(): Builder {
    if (this.builder === undefined)
      throw new Error('trace: expected to be inside trace(), got a kernel call outside it');
    return this.builder;
  }

  graphValue({ dataId }: { dataId: DataId }): Value {
    const value = this.#values.get(dataId);
    if (value === undefined) throw new Error('trace: expected a tensor of this trace, got one of another backend');
    return value;
  }

  /** A tensor handle for a graph value. tfjs has no int64: such values look like int32 to it. */
  tensorInfo(value: Value): tf.TensorInfo {
    const dataId = {};
    this.#values.set(dataId, value);
    return { dataId, shape: [...value.shape], dtype: value.dtype === 'int64' ? 'int32' : value.dtype };
  }

  override write(values: tf.BackendValues | null, shape: number[], dtype: tf.DataType): DataId {
    const dataId = {};
    this.#values.set(dataId, constant(values, shape, dtype, this.graph.symbols));
    return dataId;
  }

  override move(): void {
    throw new Error(
      'trace: expected tensors made inside the traced function or passed to it, got one of another backend',
    );
  }

  override readSync(): never {
    throw new Error(
      `trace: expected a function that does not read tensor data, got a read after kernel "${this.lastKernel}". ` +
        'Keep values as tensors, or compute them outside and pass them as inputs',
    );
  }

  override async read(): Promise<never> {
    return this.readSync();
  }

  override numDataIds(): number {
    return 0;
  }

  override disposeData(): boolean {
    return true;
  }

  override incRef(): void {}

  override refCount(): number {
    return 1;
  }

  override memory(): { unreliable: boolean } {
    return { unreliable: true };
  }

  override timerAvailable(): boolean {
    return false;
  }

  override floatPrecision(): 32 {
    return 32;
  }

  override epsilon(): number {
    return 1e-7;
  }

  override dispose(): void {}
}

function constant(values: tf.BackendValues | null, shape: number[], dtype: tf.DataType, symbols: Symbols): Value {
  const type = dtypeOf(dtype);
  const numbers = values as ArrayLike<number> | null;
  if (numbers === null) return fill(0, type, shape);
  const first = Number(numbers[0] ?? 0);
  let equal = true;
  for (let i = 1; equal && i < numbers.length; i++) equal = Object.is(Number(numbers[i]), first);
  if (equal) return filled(first, type, shape, symbols);
  refuseSymbolicShape(shape, symbols);
  return dense(arrayTypes[type].from(numbers) as Data, type, shape);
}

/**
 * A constant of equal elements.
 * @throws Error if the number was made of a symbolic size, which is a sentinel while tracing
 */
export function filled(value: number, dtype: Dtype, shape: Shape, symbols: Symbols): Value {
  for (const [sentinel, symbol] of symbols) {
    if (isMadeOf(Math.abs(value), sentinel, symbols)) {
      throw new Error(
        `trace: expected no number made of a symbolic size, got ${value} (${symbol}). ` +
          'Count at run time, as in tf.sum(tf.onesLike(x)), or use tf.mean',
      );
    }
  }
  return fill(value, dtype, shape);
}

/** Multiples of a sentinel above this are taken for chance. */
const multipleMax = 4096;

/** Whether a number, rounded to float32, is a multiple of the sentinel or one over such a multiple. */
function isMadeOf(value: number, sentinel: number, symbols: Symbols): boolean {
  const ratio = (value < 1 ? 1 / value : value) / sentinel;
  const multiple = Math.round(ratio);
  const isSmall = multiple >= 1 && multiple <= multipleMax;
  return (isSmall || symbols.has(multiple)) && Math.abs(ratio / multiple - 1) < 2 ** -22;
}

/** @throws Error for a constant whose elements would have to grow with a symbolic size */
export function refuseSymbolicShape(shape: Shape, symbols: Symbols): void {
  const size = shape.find((length) => isSymbolic(length, symbols));
  if (size === undefined) return;
  throw new Error(
    `trace: expected constants of a fixed size or of equal elements, got [${shape}], where ${size} is symbolic. ` +
      'Pass it as an input',
  );
}

/** Whether a size stands for a symbolic one in the trace that is under way; false outside a trace. */
export function isTracedSymbolic(size: number): boolean {
  const backend = tf.backend();
  return backend instanceof TraceBackend && backend.builder !== undefined && isSymbolic(size, backend.builder.symbols);
}

/** The graph type of a tfjs type. */
export function dtypeOf(dtype: tf.DataType): Exclude<Dtype, 'int64'> {
  if (dtype === 'float32' || dtype === 'int32' || dtype === 'bool') return dtype;
  throw new Error(`trace: expected float32, int32 or bool, got ${dtype}`);
}
