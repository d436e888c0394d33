/**
 * The one door to onnxruntime-node's native binding.
 *
 * The package's public `InferenceSession.run` defers each run to a later turn of the event loop, although the native call
 * itself is synchronous: 12 us instead of 7 us for a small network, and a lost turn per training step. So this file
 * takes the binding itself. The package version is pinned exactly, and the shape of the binding is checked here.
 */

import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import { Tensor } from 'onnxruntime-common';
import { refuseTelemetry } from './no-telemetry.ts';

export type NativeTensorMap = Record<string, Tensor | null>;

type NativeValueMetadata = {
  readonly name: string;
  readonly isTensor: boolean;
  /** ONNX element type code. */
  readonly type: number;
  /** -1 where the dimension is symbolic. */
  readonly shape: readonly number[];
  readonly symbolicDimensions: readonly string[];
};

export type NativeSession = {
  loadModel(buffer: ArrayBufferLike, byteOffset: number, byteLength: number, options: object): void;
  readonly inputMetadata: readonly NativeValueMetadata[];
  readonly outputMetadata: readonly NativeValueMetadata[];
  /** Computes on the calling thread. A `null` fetch is allocated; a tensor is written in place, and then copied for the result. */
  run(feeds: NativeTensorMap, fetches: NativeTensorMap, options: object): Record<string, Tensor>;
  dispose(): void;
};

type NativeBinding = {
  readonly InferenceSession: new () => NativeSession;
  listSupportedBackends(): { readonly name: string; readonly bundled: boolean }[];
  /** The runtime makes every tensor of a result with `tensorConstructor`. */
  initOrtOnce(logLevel: number, tensorConstructor: unknown, isMainThread: boolean): void;
};

const require = createRequire(import.meta.url);

let cached: NativeBinding | undefined;

/** The binding, loaded and initialised once per thread. */
export function nativeBinding(): NativeBinding {
  if (cached === undefined) {
    refuseTelemetry();
    const { binding } = require('onnxruntime-node/dist/binding.js') as { binding?: NativeBinding };
    if (binding?.initOrtOnce === undefined || binding.InferenceSession === undefined) {
      throw new Error(
        'onnxruntime-node: expected a binding with initOrtOnce and InferenceSession, got another layout. Install the pinned version with npm ci',
      );
    }
    binding.initOrtOnce(warnings, makeTensor, isMainThread);
    cached = binding;
  }
  return cached;
}

/** The runtime's log level that it has by default. */
const warnings = 2;

/** Thrown to leave a run early, once its outputs are in their place. */
const written = new Error('the outputs are written');
let isStopping = false;

function makeTensor(type: 'float32', data: Float32Array, dims: number[]): Tensor {
  if (isStopping) throw written;
  return new Tensor(type, data, dims);
}

/**
 * Runs, and writes the tensors of `fetches` without the copies that the binding makes of them for its result: into fresh memory,
 * one after the other, 20 ms for 34 MB. So the run is left when the first of them (in the model's order) becomes a tensor; only
 * that one is copied. An exception through native code costs 10 us.
 */
export function runInPlace(session: NativeSession, feeds: NativeTensorMap, fetches: NativeTensorMap): void {
  isStopping = true;
  try {
    session.run(feeds, fetches, {});
  } catch (error) {
    if (error !== written) throw error;
  } finally {
    isStopping = false;
  }
}
