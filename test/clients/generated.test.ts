/** What the clients have of the one table of errors (and Python of the proto) is what is generated now. */

import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

const check = (cwd: string) => {
  const { status, stderr } = spawnSync(process.execPath, ['clients/generate.mjs', '--check'], { cwd });
  return { status, text: /Error: (.*)/.exec(String(stderr))?.[1] ?? '' };
};

test('is current', () => {
  expect(check(root)).toEqual({ status: 0, text: '' });
});

test.each([
  'src/contract/error-kinds.ts',
  'clients/python/hyperpolicy/_generated.py',
  'clients/robot/cpp/error-kinds.hpp',
])('a kind that %s lacks is noticed', (file) => {
  const copy = mkdtempSync(join(tmpdir(), 'hyperpolicy-generated-'));
  onTestFinished(() => rmSync(copy, { recursive: true }));
  for (const part of ['clients', 'src/contract', 'proto', 'buf.yaml']) {
    cpSync(join(root, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  const text = readFileSync(join(copy, file), 'utf8');
  expect(text).toContain('not_found');
  writeFileSync(join(copy, file), text.replace('not_found', 'found'));
  expect(check(copy)).toEqual({
    status: 1,
    text: `${file}: expected what clients/generate.mjs writes, got another text. Run "npm run generate"`,
  });
});
