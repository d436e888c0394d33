/** Runs computations operation by operation on a tfjs backend. It is the reference for the traced engine. */

import * as tf from '@tensorflow/tfjs-core';
import { mapValues } from '../../src/contract/records.ts';
import { checkOutputs } from './bound.ts';
import type { BoundInput, Engine } from './engine.ts';

/** @param backend name of a registered tfjs backend, e.g. `cpu` */
export const createEagerEngine = (backend: string): Engine => ({
  name: backend,
  compile({ name: where, inputs, outputs, fn }) {
    return {
      run() {
        // The promise may be ignored: these backends are set before the call returns.
        void tf.setBackend(backend);
        tf.tidy(() => {
          const made = Object.entries(fn(tensorsOf(inputs)));
          checkOutputs(
            where,
            made.map(([name]) => ({ name })),
            outputs,
          );
          for (const [name, tensor] of made) {
            outputs[name]!.set(tensor.dataSync() as Float32Array);
          }
        });
      },
      dispose() {},
    };
  },
  compileRepeated({ passCount, state, slices, pass }) {
    return {
      run() {
        void tf.setBackend(backend);
        let current = tf.tidy(() => tensorsOf(state));
        for (let i = 0; i < passCount; i++) {
          const next = tf.tidy(() => ({ ...pass({ ...current, ...tensorsOf(slices, i) }) }));
          // State that a pass does not change stays for the next pass.
          const kept = new Set(Object.values(next));
          tf.dispose(Object.values(current).filter((tensor) => !kept.has(tensor)));
          current = next;
        }
        for (const [name, { data }] of Object.entries(state)) data.set(current[name]!.dataSync() as Float32Array);
        tf.dispose(current);
      },
      dispose() {},
    };
  },
});

/** tfjs keeps the array that it gets, so each run gives it a copy. @param slice of the arrays that hold several */
const tensorsOf = (inputs: Readonly<Record<string, BoundInput>>, slice = 0): Record<string, tf.Tensor> =>
  mapValues(inputs, ({ shape, data }) => {
    const size = tf.util.sizeFromShape([...shape]);
    return tf.tensor(data.slice(slice * size, (slice + 1) * size), [...shape]);
  });
