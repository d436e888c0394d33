import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { replaceFile, replaceFileSync } from '../../src/files/durable-files.ts';

describe.each([
  ['replaceFile', replaceFile],
  ['replaceFileSync', async (path: string, content: string) => replaceFileSync(path, content, 'test')],
])('%s', (_, replace) => {
  function directory(): string {
    const path = mkdtempSync(join(tmpdir(), 'hyperpolicy-test-'));
    onTestFinished(() => rmSync(path, { recursive: true }));
    return path;
  }

  test('creates a file, gives it new content, and leaves nothing else', async () => {
    const parent = directory();
    const path = join(parent, 'a.json');
    await replace(path, 'first, and longer');
    await replace(path, 'second');
    expect(readFileSync(path, 'utf8')).toBe('second');
    expect(readdirSync(parent)).toEqual(['a.json']);
  });

  test('leaves everything as it was where the file cannot be replaced', async () => {
    const parent = directory();
    const path = join(parent, 'a.json');
    mkdirSync(path);
    writeFileSync(join(path, 'kept'), '');
    await expect(replace(path, 'text')).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST/);
    expect(readdirSync(parent)).toEqual(['a.json']);
    expect(readdirSync(path)).toEqual(['kept']);
    await expect(replace(join(parent, 'missing', 'b.json'), 'text')).rejects.toThrow('ENOENT');
  });
});
