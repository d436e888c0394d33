import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { makeFolder, makeWritableFolder } from '../../src/files/folders.ts';

function temporary(): string {
  const path = mkdtempSync(join(tmpdir(), 'hyperpolicy-test-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

test('makes a folder with those above it, once', () => {
  const path = join(temporary(), 'a', 'b', 'c');
  makeFolder(path);
  makeFolder(path);
  expect(readdirSync(path)).toEqual([]);
});

test('leaves nothing in a folder that can be written', () => {
  const path = join(temporary(), 'a');
  makeWritableFolder('--store a', path);
  expect(readdirSync(path)).toEqual([]);
});

test('refuses what cannot be a folder, with the reason', () => {
  const parent = temporary();
  writeFileSync(join(parent, 'file'), '');
  symlinkSync(join(parent, 'missing', 'too'), join(parent, 'link'));
  expect(() => makeFolder(join(parent, 'file'))).toThrow('EEXIST');
  expect(() => makeFolder(join(parent, 'file', 'a'))).toThrow(/ENOTDIR|EEXIST/);
  expect(() => makeFolder(join(parent, 'link', 'a'))).toThrow('EEXIST');
  expect(() => makeWritableFolder('--store a', join(parent, 'link'))).toThrow(
    '--store a: expected a directory that can be written, got EEXIST',
  );
  expect(existsSync(join(parent, 'missing'))).toBe(false);
});

// A recursive mkdir of Node 20 never returns there.
test.skipIf(process.platform !== 'linux')('refuses folders where the file system makes none', () => {
  expect(() => makeFolder('/proc/x/y')).toThrow('ENOENT');
  expect(() => makeWritableFolder('store', '/proc/self')).toThrow(
    'store: expected a directory that can be written, got ENOENT',
  );
});
