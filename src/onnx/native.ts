/**
 * The one door to onnxruntime-node's native binding.
 *
 * The package's public `InferenceSession.run` defers each run to a later turn of the event loop, although the native call
 * itself is synchronous: 12 us instead of 7 us for a small network, and a lost turn per training step. So this file
 * takes the binding itself. The package version is pinned exactly, and the shape of the binding is checked here.
 */

import { createRequire } from 'node:module';
import type { Tensor } from 'onnxruntime-common';

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
  /** Computes on the calling thread. A `null` fetch is allocated; a tensor is written in place. */
  run(feeds: NativeTensorMap, fetches: NativeTensorMap, options: object): Record<string, Tensor>;
  dispose(): void;
};

type NativeBinding = {
  readonly InferenceSession: new () => NativeSession;
  listSupportedBackends(): { readonly name: string; readonly bundled: boolean }[];
};

const require = createRequire(import.meta.url);

let cached: NativeBinding | undefined;

/** The binding, loaded and initialised once per thread. */
export function nativeBinding(): NativeBinding {
  if (cached === undefined) {
    const module = require('onnxruntime-node/dist/binding.js') as { binding?: NativeBinding; initOrt?: () => void };
    if (module.initOrt === undefined || module.binding?.InferenceSession === undefined) {
      throw new Error(
        'onnxruntime-node: expected a binding with initOrt and InferenceSession, got another layout. Install the pinned version with npm ci',
      );
    }
    module.initOrt();
    cached = module.binding;
  }
  return cached;
}
