/** A loaded ONNX graph that runs. Owns the native session and its options; knows nothing of networks or models. */

import { Tensor } from 'onnxruntime-common';
import { invalidArgument } from '../contract/errors.ts';
import { checkForeign } from './foreign.ts';
import { type NativeSession, type NativeTensorMap, nativeBinding, runInPlace } from './native.ts';
import { requirePrecision } from './precision.ts';
import { clauseOf, lacksArchitecture, lacksDevice, lacksMemory, noProvider } from './provider-faults.ts';
import {
  candidates,
  type Device,
  type DeviceName,
  fullDevice,
  isInstalled,
  missingDevice,
  missingInRun,
} from './providers.ts';
import { checkForWebgpu } from './webgpu-faults.ts';

export { Tensor };

/** Named tensors in, named tensors out. */
export type TensorMap = Record<string, Tensor>;

export type SessionOptions = {
  /** Threads inside one operator; 1 runs everything on the calling thread. */
  readonly threadCount: number;
  /** Busy-wait between operators, for at most 0.1 ms, and not between runs: faster where there are free cores. Off in servers. */
  readonly spinning?: boolean;
  /** Where the graph runs; `cpu` unless given. Feeds and outputs are in host memory on every device. */
  readonly device?: DeviceName;
  /** Of files that come from others: checkForeign. */
  readonly foreign?: boolean;
};

export type TensorInfo = {
  readonly name: string;
  readonly dtype: 'float32' | 'int32' | 'int64' | 'bool';
  /** Sizes; a string is a symbolic dimension. */
  readonly shape: readonly (number | string)[];
};

/** A device that `auto` tried, and why the graph did not open there. */
export type SkippedDevice = { readonly device: Device; readonly reason: string };

export type Session = {
  /** The device that was taken. */
  readonly device: Device;
  /** Those that were tried before it. */
  readonly skipped: readonly SkippedDevice[];
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /**
   * Computes the outputs, synchronously on the calling thread.
   * @param feeds one tensor per input
   * @param fetches outputs to write in place; the others are allocated. Where large outputs are all in place, a model should have
   *   its smallest output first
   * @param names outputs that are wanted; all unless given. The others are not copied to the host
   * @returns the tensors of `fetches` and those allocated
   * @throws HyperpolicyError resource_exhausted: memory does not suffice for the run; failed_precondition: the device has no code for it;
   *   Error for a missing input or a shape that the graph does not take, with the runtime's text
   */
  run(feeds: TensorMap, fetches?: TensorMap, names?: readonly string[]): TensorMap;
  /** Frees the native memory; the session must not be used after. */
  dispose(): void;
};

const dtypeByCode: Record<number, TensorInfo['dtype']> = { 1: 'float32', 6: 'int32', 7: 'int64', 9: 'bool' };

/**
 * Loads an encoded ONNX model.
 * @param model the bytes of an .onnx file
 * @param name used in error messages
 * @throws HyperpolicyError invalid_argument if the bytes are not a model that the runtime takes; failed_precondition if
 *   the named device is missing; resource_exhausted if the model does not fit into memory
 */
export function openSession(model: Uint8Array, options: SessionOptions, name = 'model'): Session {
  if (options.foreign === true) checkForeign(model, name);
  const devices = candidates(options.device ?? 'cpu');
  const skipped: SkippedDevice[] = [];
  // The next one is tried; the last one's error is thrown.
  for (const device of devices.slice(0, -1)) {
    try {
      return wrap(openOn(device, model, options, name), { device, skipped, name });
    } catch (error) {
      skipped.push({ device, reason: (error as Error).message });
    }
  }
  const last = devices.at(-1)!;
  return wrap(openOn(last, model, options, name), { device: last, skipped, name });
}

function openOn(device: Device, model: Uint8Array, options: SessionOptions, name: string): NativeSession {
  if (!isInstalled(device)) throw missingDevice(name, device, noProvider);
  if (device === 'cuda') requirePrecision();
  if (device === 'webgpu') checkForWebgpu(model, name);
  const { InferenceSession } = nativeBinding();
  const native = new InferenceSession();
  try {
    native.loadModel(model.buffer, model.byteOffset, model.byteLength, {
      // Operators that a device's provider lacks run on the CPU.
      executionProviders: [device],
      intraOpNumThreads: options.threadCount,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3,
      // Threads that spin on after a run take the core from what follows: the optimiser, or another session's threads.
      extra: {
        session: {
          intra_op: { allow_spinning: options.spinning === true ? '1' : '0', spin_duration_us: `${spinMicroseconds}` },
          force_spinning_stop: '1',
          // Values outside the model's bytes are refused: the runtime would look for their files in the working directory.
          model_external_initializers_file_folder_path: '/dev/null',
          // The runtime's own format, which it would recognise by four bytes, is not what `checkForeign` reads.
          load_model_format: 'ONNX',
          // Weights lie beside the provider's arena, as large as they are: the arena grows by doubling, and the binding cannot tell it not to.
          ...(device === 'cuda' && { use_device_allocator_for_initializers: '1' }),
        },
      },
    });
  } catch (cause) {
    const text = (cause as Error).message;
    if (lacksMemory(text)) throw fullDevice(name, { device, use: 'one more graph', actual: clauseOf(text), cause });
    if (device !== 'cpu' && lacksDevice(text)) throw missingDevice(name, device, clauseOf(text), cause);
    throw invalidArgument({ where: name, expected: 'an ONNX model', actual: text, cause });
  }
  return native;
}

/**
 * Longest busy-wait of a thread for the next operator. The runtime's own bound is a number of pauses, by its authors (onnxruntime, pull request
 * 27916) 3 to 500 ms by processor: on a core that other work wants, each of them takes it from the thread that has the operator. To wake a
 * thread takes tens of microseconds.
 */
const spinMicroseconds = 100;

type Taken = Pick<Session, 'device' | 'skipped'> & { readonly name: string };

function wrap(native: NativeSession, { device, skipped, name }: Taken): Session {
  const inputs = native.inputMetadata.map(tensorInfo);
  const outputs = native.outputMetadata.map(tensorInfo);
  const all = outputs.map(({ name }) => name);
  const everything = unfetched(all);
  return {
    device,
    skipped,
    inputs,
    outputs,
    run(feeds, fetches, names = all) {
      try {
        const wanted = names === all ? everything : unfetched(names);
        if (fetches === undefined) return native.run(feeds, wanted, {});
        if (areLarge(names, fetches)) {
          runInPlace(native, feeds, fetches);
          return fetches;
        }
        return { ...native.run(feeds, { ...wanted, ...fetches }, {}), ...fetches };
      } catch (cause) {
        throw faultOfRun(cause, device, name);
      }
    },
    dispose() {
      native.dispose();
    },
  };
}

/** What a run throws: the runtime's error, unless its text tells that the device cannot do it. That is a fault, too, of which the caller is told more. */
function faultOfRun(cause: unknown, device: Device, name: string): unknown {
  const text = (cause as Error).message;
  if (lacksMemory(text)) return fullDevice(name, { device, use: 'a run of this graph', actual: clauseOf(text), cause });
  if (lacksArchitecture(text)) return missingInRun(name, device, clauseOf(text), cause);
  return cause;
}

/** Outputs that the runtime is to make. */
const unfetched = (names: readonly string[]): NativeTensorMap => Object.fromEntries(names.map((name) => [name, null]));

/** Elements whose copy takes as long as leaving a run early does. */
const largeElementCount = 16_384;

/** Whether all outputs are to be written in place, and those after the first are large. */
function areLarge(names: readonly string[], fetches: TensorMap): boolean {
  let elementCount = 0;
  for (let i = 0; i < names.length; i++) {
    const tensor = fetches[names[i]!];
    if (tensor === undefined) return false;
    if (i > 0) elementCount += tensor.size;
  }
  return elementCount >= largeElementCount;
}

function tensorInfo(metadata: NativeSession['inputMetadata'][number]): TensorInfo {
  const dtype = dtypeByCode[metadata.type];
  if (!metadata.isTensor || dtype === undefined) {
    throw invalidArgument({
      where: `graph value "${metadata.name}"`,
      expected: 'a tensor of float32, int32, int64 or bool',
      actual: `element type code ${metadata.type}`,
    });
  }
  const shape = metadata.shape.map((size, i) => (size === -1 ? metadata.symbolicDimensions[i]! : size));
  return { name: metadata.name, dtype, shape };
}

/** A float32 tensor over `data`, without a copy. `data` must not lie in shared memory: the runtime refuses that. */
export const floatTensor = (data: Float32Array, shape: readonly number[]): Tensor =>
  new Tensor('float32', data, [...shape]);

/** An int64 tensor of row indices. */
export const indexTensor = (indices: readonly number[] | Int32Array): Tensor =>
  new Tensor('int64', BigInt64Array.from(indices as ArrayLike<number> as number[], BigInt), [indices.length]);
