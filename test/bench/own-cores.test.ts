import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { allowedCores, onOwnCores } from './own-cores.ts';

const coresOf = (pid: number | string) => allowedCores(readFileSync(`/proc/${pid}/status`, 'utf8'));

test('cores are read from ranges and single ones', () => {
  expect(allowedCores('Threads:\t1\nCpus_allowed_list:\t0-2,5,7-8\nMems:\t0\n')).toEqual([0, 1, 2, 5, 7, 8]);
  expect(allowedCores('')).toEqual([]);
});

test.runIf(process.platform === 'linux')('a process has its core while it runs, and all of them after it', async () => {
  const before = coresOf('self');
  const { result, isPinned } = await onOwnCores([], async () => coresOf(process.pid));
  expect(result).toEqual(isPinned ? before.slice(0, 1) : before);
  expect(coresOf('self')).toEqual(before);
});
