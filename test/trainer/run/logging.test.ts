import { mkdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openRunLog } from '../../../trainer/run/logging.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'logging-test-'));
});
afterEach(() => rm(directory, { recursive: true }));

test('everything goes to the file as JSON lines, warnings to the person as text', () => {
  const shown: string[] = [];
  const open = () => openRunLog({ directory, unit: 'iteration', warn: (line) => shown.push(line) });
  const log = open();
  log.info({ step: 1 }, 'checkpoint');
  log.warn({ step: 2, episodeLength: 7 }, 'the simulator diverged');
  open().error({ err: new Error('no space left') }, 'cannot write'); // a resumed run appends
  const lines = readFileSync(join(directory, 'train.log'), 'utf8').trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { level: 30, step: 1, msg: 'checkpoint' },
    { level: 40, step: 2, episodeLength: 7, msg: 'the simulator diverged' },
    { level: 50, err: { message: 'no space left' }, msg: 'cannot write' },
  ]);
  expect(shown).toEqual([
    'warning: the simulator diverged (iteration 2, episodeLength 7)',
    'error: cannot write (err no space left)',
  ]);
});

test('a log that cannot be written is refused by name', () => {
  mkdirSync(join(directory, 'train.log'));
  expect(() => openRunLog({ directory, unit: 'step', warn: () => {} })).toThrow(
    `train.log of run directory "${directory}": expected a directory that can be written, got EISDIR`,
  );
});
