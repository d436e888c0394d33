import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createLineWriter } from '../../src/files/line-writer.ts';

/** A pipe that does not block, and that holds no more. */
function fullPipe(): number {
  const directory = mkdtempSync(join(tmpdir(), 'line-writer-test-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  execFileSync('mkfifo', [join(directory, 'pipe')]);
  const pipe = openSync(join(directory, 'pipe'), constants.O_RDWR | constants.O_NONBLOCK);
  onTestFinished(() => closeSync(pipe));
  const fill = () => {
    for (;;) writeSync(pipe, Buffer.alloc(4096));
  };
  expect(fill).toThrow('EAGAIN');
  return pipe;
}

const read = (pipe: number, bytes: number): string => {
  const buffer = Buffer.alloc(bytes);
  return buffer.toString('utf8', 0, readSync(pipe, buffer));
};

function writerOf(descriptor: number) {
  const lost: string[] = [];
  const { write } = createLineWriter(descriptor, ({ message }) => lost.push(message));
  return { write, lost };
}

test('lines that a stuck reader leaves no room for are lost: the first after a wait, the others at once', () => {
  const pipe = fullPipe();
  const { write, lost } = writerOf(pipe);
  const startMs = performance.now();
  for (let i = 0; i < 1000; i++) write('a line\n');
  // One wait of 0.1 s; a thousand would be 100 s.
  expect(performance.now() - startMs).toBeLessThan(10_000);
  expect(lost).toEqual(Array.from({ length: 1000 }, () => 'EAGAIN: resource temporarily unavailable, write'));
  read(pipe, 65_536);
  write('again\n');
  expect(read(pipe, 100)).toBe('again\n');
  expect(lost).toHaveLength(1000);
});

test('the line after one that was written in part begins on a line of its own', () => {
  const pipe = fullPipe();
  const { write, lost } = writerOf(pipe);
  read(pipe, 4096);
  // Longer than PIPE_BUF, so that a part of it is taken.
  write(`${'x'.repeat(5000)}\n`);
  expect(lost).toHaveLength(1);
  while (read(pipe, 4096).at(-1) !== 'x');
  write('whole\n');
  expect(read(pipe, 100)).toBe('\nwhole\n');
});

test('a full disk loses its lines at once', () => {
  const full = openSync('/dev/full', 'w');
  onTestFinished(() => closeSync(full));
  const { write, lost } = writerOf(full);
  write('a line\n');
  expect(lost).toEqual(['ENOSPC: no space left on device, write']);
});
