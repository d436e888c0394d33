/** What runs heavy graphs: worker threads, or the calling thread where there are none. */

import { openSession, type SessionOptions } from '../../src/onnx/session.ts';
import { warmUp } from '../../src/onnx/warm-up.ts';
import { createWorkerPool } from '../../src/onnx/worker-pool.ts';
import { createStepper } from '../../src/pacing/unhurried.ts';
import { readListedFile } from '../../src/package/listed-file.ts';
import type { Executor } from './compute-pool.ts';

export type OwnedExecutor = Executor & {
  /** Ends the threads after the runs that were accepted. */
  dispose(): Promise<void>;
};

export type ExecutorOptions = {
  /** 0 runs on the calling thread: requests wait while a heavy graph runs. */
  readonly workerCount: number;
  readonly session: SessionOptions;
  /** Told the device that each graph runs on. */
  readonly onOpen: (opened: { readonly graph: string; readonly device: string }) => void;
};

export const createExecutor = (options: ExecutorOptions): OwnedExecutor =>
  options.workerCount === 0 ? createInlineExecutor(options) : createWorkerExecutor(options);

function createWorkerExecutor({ workerCount, session, onOpen }: ExecutorOptions): OwnedExecutor {
  const pool = createWorkerPool({ workerCount, queueCountMax: workerCount, session });
  return {
    get idleCount() {
      return pool.idleCount;
    },
    async open(model, options) {
      const opened = await pool.open(model, options);
      onOpen({ graph: options.name, device: opened.device });
      return opened;
    },
    dispose: () => pool.dispose(),
  };
}

function createInlineExecutor({ session: options, onOpen }: ExecutorOptions): OwnedExecutor {
  return {
    idleCount: 1,
    async open(model, { name, warmUpRowCounts, restRatio, device }) {
      const step = createStepper(restRatio);
      const bytes = await readListedFile(model, step);
      const session = await step(() => openSession(bytes, { ...options, device }, name));
      try {
        for (const rowCount of warmUpRowCounts) await step(() => warmUp(session, rowCount, name));
      } catch (error) {
        session.dispose();
        throw error;
      }
      onOpen({ graph: name, device: session.device });
      return {
        inputs: session.inputs,
        outputs: session.outputs,
        canFollow: false,
        run: (feeds, { take }) => take(session.run(feeds)),
        dispose: () => session.dispose(),
      };
    },
    dispose: async () => {},
  };
}
