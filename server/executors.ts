/** What runs heavy graphs: worker threads, or the calling thread where there are none. */

import { openSession, type Session, type SessionOptions } from '../src/onnx/session.ts';
import { createWorkerPool } from '../src/onnx/worker-pool.ts';
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

function createWorkerExecutor({ workerCount, session: options, onOpen }: ExecutorOptions): OwnedExecutor {
  const pool = createWorkerPool({ workerCount, queueCountMax: workerCount, session: options });
  return {
    get idleCount() {
      return pool.idleCount;
    },
    async open(model, name) {
      const session = await pool.open(model, name);
      onOpen({ graph: name, device: session.device });
      return {
        ...namesOf(session),
        get canFollow() {
          return session.canFollow;
        },
        run: session.run,
        dispose: () => void session.dispose(),
      };
    },
    dispose: () => pool.dispose(),
  };
}

function createInlineExecutor({ session: options, onOpen }: ExecutorOptions): OwnedExecutor {
  return {
    idleCount: 1,
    async open(model, name) {
      const session = openSession(model, options, name);
      onOpen({ graph: name, device: session.device });
      return {
        ...namesOf(session),
        canFollow: false,
        run: (feeds, { take }) => take(session.run(feeds)),
        dispose: () => session.dispose(),
      };
    },
    dispose: async () => {},
  };
}

export const namesOf = ({ inputs, outputs }: Pick<Session, 'inputs' | 'outputs'>) => ({
  inputNames: inputs.map(({ name }) => name),
  outputNames: outputs.map(({ name }) => name),
});
