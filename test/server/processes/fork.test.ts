import cluster from 'node:cluster';
import { expect, onTestFinished, test } from 'vitest';
import { forkProcess } from '../../../server/processes/processes.ts';

test('a process that the system does not give has ended, once', async () => {
  cluster.setupPrimary({ cwd: '/nowhere' });
  onTestFinished(() => cluster.setupPrimary({ cwd: process.cwd() }));
  const ends: unknown[] = [];
  const forked = forkProcess();
  await new Promise<void>((resolve) => {
    forked.onExit((code, signal) => {
      ends.push([code, signal]);
      resolve();
    });
  });
  forked.kill();
  await new Promise((resolve) => setImmediate(resolve));
  expect(ends).toEqual([[null, null]]);
});
