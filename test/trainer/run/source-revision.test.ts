/** What a record of a training says of the code: its revision, and whether the code was that revision. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { sourceRevision } from '../../../trainer/run/source-revision.ts';

test('a changed tracked file is told; an untracked one is none of the code; another package in the checkout has no revision', () => {
  const checkout = mkdtempSync(join(tmpdir(), 'revision-test-'));
  onTestFinished(() => rmSync(checkout, { recursive: true }));
  const write = (name: string, content: string) => writeFileSync(join(checkout, name), content);
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', ...args], { cwd: checkout })
      .toString()
      .trim();
  mkdirSync(join(checkout, 'trainer'));
  mkdirSync(join(checkout, 'inner'));
  write('package.json', '{}');
  write('inner/package.json', '{}');
  write('trainer/code.ts', 'export {};\n');
  const revisionOf = (folder: string) => sourceRevision(join(checkout, folder));
  expect(revisionOf('trainer')).toBe('unknown');

  git('init', '--quiet');
  git('add', '.');
  git('commit', '--quiet', '--message', 'code');
  const revision = git('rev-parse', 'HEAD');
  expect(revision).toMatch(/^[0-9a-f]{40}$/);
  // A name that ends as a changed tree does.
  git('tag', 'v1-dirty');
  expect(revisionOf('trainer')).toBe(revision);
  write('notes.txt', 'mine');
  expect(revisionOf('trainer')).toBe(revision);
  write('trainer/code.ts', 'export const changed = true;\n');
  expect(revisionOf('trainer')).toBe(`${revision}-dirty`);
  expect(revisionOf('inner')).toBe('unknown');
});
