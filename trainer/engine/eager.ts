/** Runs computations op by op on the tfjs backend in force: the plain reference for the traced engine. */

import * as tf from '@tensorflow/tfjs-core';
import type { Engine } from './engine.ts';

/** @param backend name of a registered tfjs backend, e.g. `cpu` */
export const createEagerEngine = (backend: string): Engine => ({
  name: backend,
  compile({ inputs, outputs, fn }) {
    return {
      run() {
        // A backend with a synchronous factory is set before the call returns.
        void tf.setBackend(backend);
        tf.tidy(() => {
          const tensors = Object.fromEntries(
            // tfjs keeps the array that it is given; a copy keeps later runs from seeing each other's values.
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
