/**
 * A core for the client and another for the servers, while one waits for the other. Left to themselves two such processes sometimes
 * share a core and take turns without ever sleeping, and sometimes wake each other across cores, which takes three times as
 * long: chance would decide between them for each side. A client on another machine never shares the server's core.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

/** Cores that this process may use, from a list like `0-3,8`; none where the system does not tell. */
export function allowedCores(status: string): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1] ?? '';
  return list.split(',').flatMap((range) => {
    if (range === '') return [];
    const [first, last = first] = range.split('-').map(Number) as [number, number?];
    return Array.from({ length: last! - first + 1 }, (_, i) => first + i);
  });
}

const selfStatus = '/proc/self/status';

/** Cores that this process may use; none where the system does not tell. */
export const ownCores = (): number[] => (existsSync(selfStatus) ? allowedCores(readFileSync(selfStatus, 'utf8')) : []);

/** Moves all threads of a process. */
function pin(pid: number, cores: readonly number[]): boolean {
  return spawnSync('taskset', ['-acp', cores.join(','), `${pid}`], { stdio: 'ignore' }).status === 0;
}

/** Runs with this process on one core and the servers on another where the system can do that (Linux, `taskset`, two cores). */
export async function onOwnCores<T>(
  servers: readonly { readonly pid: number }[],
  run: () => Promise<T>,
): Promise<{ readonly result: T; readonly isPinned: boolean }> {
  const cores = ownCores();
  const [client, server] = cores;
  if (client === undefined || server === undefined) return { result: await run(), isPinned: false };
  const pids = [process.pid, ...servers.map(({ pid }) => pid)];
  const isPinned = pids.map((pid, i) => pin(pid, [i === 0 ? client : server])).every(Boolean);
  try {
    return { result: await run(), isPinned };
  } finally {
    for (const pid of pids) pin(pid, cores);
  }
}
