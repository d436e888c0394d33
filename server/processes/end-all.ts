/** The end of all processes of a server. */

import type { Logger } from 'pino';
import { failedPrecondition } from '../../src/contract/errors.ts';
import type { Member } from './member.ts';

/** Beyond the time to drain, for freeing what a process has. */
const endMsMax = 10_000;

/**
 * Lets every process drain and end, at once; kills those that take too long.
 * @throws HyperpolicyError failed_precondition: one ended badly, or had to be killed
 */
export async function endAll(
  members: readonly Member[],
  { drainMs, log }: { readonly drainMs: number; readonly log: Logger },
): Promise<void> {
  const timer = setTimeout(() => {
    for (const { process, number } of members) {
      if (process === undefined) continue;
      log.error({ process: number }, 'process killed: it did not end in time');
      process.kill();
    }
  }, drainMs + endMsMax);
  const ends = await Promise.all(
    members.map(async ({ process, link, models, exited }) => {
      if (link === undefined) return true;
      if (models === undefined) {
        // It answers nobody yet.
        process?.kill();
        await exited;
        return true;
      }
      // Whether it answers or not: what counts is how it ends.
      link.ask('stop', null, Infinity).catch(() => {});
      return exited;
    }),
  );
  clearTimeout(timer);
  const bad = ends.filter((good) => !good).length;
  if (bad === 0) return;
  throw failedPrecondition({
    where: 'the end of the server',
    expected: 'every process to end well',
    actual: `${bad} of ${members.length} that did not`,
    remedy: 'The log has the reason',
  });
}
