/** The threads of a user's environment as the team of one vectorised environment: they step all rows, the caller none. */

import { giveOrder } from '../../machine/claims.ts';
import type { RowOptions } from '../../rollout/rows.ts';
import type { SharedBatch } from '../../rollout/shared-batch.ts';
import type { Team } from '../../rollout/team.ts';
import type { EnvThread } from './env-thread.ts';
import { type Job, jobs } from './protocol.ts';

let batchCount = 0;

/** @param options.threads one at least */
export async function joinThreads(
  batch: SharedBatch,
  { threads, ...rows }: Pick<RowOptions, 'seed' | 'givenContexts'> & { readonly threads: readonly EnvThread[] },
): Promise<Team> {
  const { sizes, memory } = batch;
  const id = batchCount++;
  await Promise.all(
    threads.map((thread, i) => {
      const firstRow = Math.floor((i * sizes.environmentCount) / threads.length);
      return thread.ask('openRows', { batch: id, sizes, memory, ...rows, firstRow });
    }),
  );
  let order = 0;

  function give(job: Job, episode: number): void {
    order = (order + 1) | 0;
    giveOrder(batch, order);
    for (const thread of threads) thread.order(job, id, episode);
  }

  function isReady(timeoutMs: number): boolean {
    const until = performance.now() + timeoutMs;
    return threads.every((thread) => thread.isIdle(Math.max(0, until - performance.now())));
  }

  return {
    reset: (episode) => give(jobs.reset, episode ?? -1),
    begin: () => give(jobs.step, -1),
    isReady,
    finish() {
      isReady(Number.POSITIVE_INFINITY);
      const [failure] = threads.flatMap((thread) => thread.takeFailures());
      if (failure !== undefined) throw failure;
    },
    save: () => threads[0]!.ask('saveRows', id),
    async restore(states) {
      await threads[0]!.ask('restoreRows', { batch: id, states });
    },
    async dispose() {
      await Promise.all(threads.map((thread) => thread.ask('closeRows', id).catch(() => {})));
    },
  };
}
