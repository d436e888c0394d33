/**
 * A user's environment file in threads of its own. The first thread answers what is asked, steps a run's only environment and
 * evaluates: the file may be a machine of which there is one. More rows or threads have environments of their own.
 */

import type { Evaluator } from '../evaluator.ts';
import { copiesOf, type Portable } from '../portable-policy.ts';
import { type EnvThread, startEnvThread } from './env-thread.ts';
import type { Environment, OpenOptions } from './environment.ts';
import { joinThreads } from './thread-team.ts';

export async function openUserEnvironment(place: string, options: OpenOptions): Promise<Environment> {
  const threads: EnvThread[] = [];
  const threadAt = (i: number): EnvThread => {
    threads[i] ??= startEnvThread(place, options);
    return threads[i];
  };
  const host = threadAt(0);
  const dispose = async () => {
    await Promise.all(threads.map((thread) => thread.end()));
  };
  try {
    const { name, specs, episodeStepCountMax, tasks } = await host.ask('facts', null);
    return {
      ...{ name, specs, episodeStepCountMax },
      tasks: tasks && { ...tasks, sample: (given) => host.ask('sampleTasks', given) },
      source: {
        ...{ name, specs, episodeStepCountMax },
        stateSize: () => host.ask('stateSize', null),
        join: (batch, { threadCount, ...rows }) =>
          joinThreads(batch, { ...rows, threads: Array.from({ length: threadCount }, (_, i) => threadAt(i)) }),
      },
      createEvaluator: (learner) => createHostEvaluator(host, learner),
      async settle() {
        const hangs = await Promise.all(threads.map((thread) => thread.settle()));
        return hangs.find((hang) => hang !== undefined);
      },
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Learning waits for it. */
function createHostEvaluator(host: EnvThread, learner: Portable): Evaluator {
  let opening: Promise<unknown> | undefined;
  return {
    isConcurrent: false,
    async evaluate(order, signal) {
      signal?.throwIfAborted();
      const { model, parameters } = learner.portablePolicy();
      opening ??= host.ask('openPolicy', model);
      await opening;
      signal?.throwIfAborted();
      const copies = copiesOf(parameters);
      const cut = () => host.cut(true);
      signal?.addEventListener('abort', cut);
      try {
        const evaluated = await host.ask('evaluate', { order, parameters: copies });
        if (evaluated !== null) return evaluated;
        throw signal!.reason;
      } finally {
        signal?.removeEventListener('abort', cut);
        host.cut(false);
      }
    },
    async dispose() {},
  };
}
