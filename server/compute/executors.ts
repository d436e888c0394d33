/** Executors of heavy graphs: worker threads, or the calling thread if there are no workers. */

import { openWarm } from '../../src/onnx/open-warm.ts';
import type { SessionOptions } from '../../src/onnx/session.ts';
import { createWorkerPool, type WorkerPoolOptions } from '../../src/onnx/worker-pool.ts';
import { createStepper } from '../../src/pacing/unhurried.ts';
import { readListedFile } from '../../src/package/listed-file.ts';
import type { Executor, ExecutorGraph } from './compute-pool.ts';

/** `dispose` ends the threads after the runs that were accepted. */
export type OwnedExecutor = Executor & { dispose(): Promise<void> };

/** With `workerCount` 0 graphs run on the calling thread: requests wait meanwhile, and nobody watches the runs. */
export type ExecutorOptions = Omit<WorkerPoolOptions, 'queueCountMax'>;

export const createExecutor = (options: ExecutorOptions): OwnedExecutor =>
  options.workerCount === 0
    ? createInlineExecutor(options.session)
    : createWorkerPool({ ...options, queueCountMax: options.workerCount });

const createInlineExecutor = (options: SessionOptions): OwnedExecutor => ({
  idleCount: 1,
  async open(model, { name, warmUpRowCounts, restRatio, device, second }) {
    const step = createStepper(restRatio);
    const bytes = await readListedFile(model, step);
    const session = await openWarm(bytes, { name, options: { ...options, device }, warmUpRowCounts, second, step });
    const { inputs, outputs } = session;
    const run: ExecutorGraph['run'] = (feeds, { take, outputs: names }) => take(session.run(feeds, undefined, names));
    return { inputs, outputs, device: session.device, canFollow: false, run, dispose: () => session.dispose() };
  },
  dispose: async () => {},
});
