/** Runs computations operation by operation on a tfjs backend. It is the reference for the traced engine. */

import * as tf from '@tensorflow/tfjs-core';
import type { Engine } from './engine.ts';

/** @param backend name of a registered tfjs backend, e.g. `cpu` */
export const createEagerEngine = (backend: string): Engine => ({
  name: backend,
  compile({ inputs, outputs, fn }) {
    return {
      run() {
        // The promise may be ignored: these backends are set before the call returns.
        void tf.setBackend(backend);
        tf.tidy(() => {
          const tensors = Object.fromEntries(
            // tfjs keeps the array that it gets, so each run gives it a copy.
            Object.entries(inputs).map(([name, { shape, data }]) => [name, tf.tensor(data.slice(), [...shape])]),
          );
          for (const [name, tensor] of Object.entries(fn(tensors))) {
            outputs[name]!.set(tensor.dataSync() as Float32Array);
          }
        });
      },
      dispose() {},
    };
  },
});
