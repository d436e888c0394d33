/** The calling thread's priority as the system tells it. */

import { readlinkSync } from 'node:fs';
import { getPriority } from 'node:os';
import { expect, test } from 'vitest';
import { atLowPriority, raisePriority, systemThreadId } from '../../src/onnx/low-priority.ts';

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
