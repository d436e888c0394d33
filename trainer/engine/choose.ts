/** Engines by name. Optional packages are loaded only when their engine is chosen. */

import { failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import { ownFile } from '../../src/files/own-files.ts';
import { registerGradients } from '../../src/trace/gradients/index.ts';
import { createEagerEngine } from './eager.ts';
import type { Engine } from './engine.ts';
import { type EngineName, engineNames, refuseDevice } from './names.ts';
import { createTracedEngine, type TracedEngineOptions } from './traced.ts';

/** Packages that bring the `tensorflow` backend, best first. */
const tensorflowPackages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'];

/**
 * The engine of that name.
 * @param options for `traced`. TensorFlow chooses its own number of threads, and runs on CUDA if its package is the one for GPUs
 * @throws HyperpolicyError invalid_argument for an unknown name, or a device with an engine that cannot be given one;
 *   failed_precondition if its package is missing or does not load
 */
export async function createEngine(name: EngineName, options: TracedEngineOptions): Promise<Engine> {
  if (name === 'traced') return createTracedEngine(options);
  refuseDevice(name, options.device);
  if (name === 'cpu') {
    await import('../../src/nn/cpu-backend.ts');
    return createEagerEngine('cpu');
  }
  if (name === 'tensorflow') {
    await loadTensorflow();
    return createEagerEngine('tensorflow');
  }
  throw invalidArgument({ where: 'engine', expected: `one of ${engineNames.join(', ')}`, actual: `"${name}"` });
}

async function loadTensorflow(): Promise<void> {
  for (const packageName of tensorflowPackages) {
    try {
      await import(packageName);
    } catch (cause) {
      if (isAbsent(cause, packageName)) continue;
      throw missing(`${packageName} that does not load: ${(cause as Error).message.split('\n')[0]}`, cause);
    }
    // The package replaced our gradients by tfjs's own, whose second derivatives are wrong.
    registerGradients();
    return;
  }
  throw missing('neither');
}

const isAbsent = (cause: unknown, packageName: string): boolean =>
  (cause as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND' && (cause as Error).message.includes(packageName);

const missing = (actual: string, cause?: unknown) =>
  failedPrecondition({
    where: 'engine "tensorflow"',
    expected: `${tensorflowPackages.join(' or ')} to be installed`,
    actual,
    remedy:
      'Install it with npm install --no-save --ignore-scripts=false @tensorflow/tfjs-node@4.22.0, or with ' +
      `${ownFile('deploy/tensorflow/install.sh')} where its download is blocked`,
    cause,
  });
