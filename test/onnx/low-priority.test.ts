/** The calling thread's priority as the system tells it. */

import { readdirSync, readlinkSync } from 'node:fs';
import { getPriority } from 'node:os';
import { expect, test } from 'vitest';
import { atLowPriority, raisePriority, systemThreadId } from '../../src/onnx/low-priority.ts';
import { openSession } from '../../src/onnx/session.ts';
import { product } from './graphs.ts';

const own = () =>
  process.platform === 'linux' ? getPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1))) : 0;

test('is lower while the work is done, where it can be raised again, and as before after it', () => {
  const first = atLowPriority(own);
  const before = own();
  const during = atLowPriority(own);
  // Who may not raise it again keeps it, but for the step of finding that out.
  expect(during === 10 || during === before).toBe(true);
  expect(during).toBe(first);
  expect(own()).toBe(before);
  expect(() =>
    atLowPriority(() => {
      throw new Error('no graph');
    }),
  ).toThrow('no graph');
  expect(own()).toBe(before);
});

test('is raised again by whoever waits', () => {
  const id = systemThreadId();
  const before = own();
  const raised = atLowPriority(() => {
    raisePriority(id, before);
    return own();
  });
  expect(raised).toBe(before);
});

test('is not kept by the threads that a graph starts', () => {
  const threads = () => (process.platform === 'linux' ? readdirSync('/proc/self/task').map(Number) : []);
  const before = new Set(threads());
  const normal = own();
  const session = atLowPriority(() => openSession(product(8), { threadCount: 3 }));
  const started = threads().filter((id) => !before.has(id));
  expect(started.length).toBeGreaterThanOrEqual(process.platform === 'linux' ? 2 : 0);
  expect(started.map((id) => getPriority(id))).toEqual(started.map(() => normal));
  session.dispose();
});
