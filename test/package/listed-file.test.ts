/** Files of a package as they are read: what is given back is what was hashed, and nobody waits for long. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type ListedFile, readListedFile } from '../../src/package/listed-file.ts';

const bytes = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => (i * 31) % 251);

async function listed(content: Uint8Array): Promise<ListedFile> {
  const directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-test-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, 'policy.onnx');
  await writeFile(path, content);
  return { path, bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
}

test.each([0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 1_300_000])('%i bytes: the whole', async (size) => {
  const content = bytes(size);
  expect(Buffer.compare(await readListedFile(await listed(content)), content)).toBe(0);
});

test('every piece is a step, and the steps have the rest between', async () => {
  let stepCount = 0;
  await readListedFile(await listed(bytes(4 * 256 * 1024)), async (step) => {
    stepCount++;
    return step();
  });
  expect(stepCount).toBe(4);
});

test('a file that changes after it was listed is refused', async () => {
  const file = await listed(bytes(1000));
  await writeFile(file.path, bytes(1000).fill(7, 999));
  await expect(readListedFile(file)).rejects.toMatchObject({
    kind: 'invalid_argument',
    where: file.path,
    expected: `SHA-256 ${file.sha256}`,
    remedy: 'The package is damaged; publish it again',
  });
});

test('a file that changes while it is read is refused, or is as it was', async () => {
  const file = await listed(bytes(4 * 256 * 1024));
  let stepCount = 0;
  const reading = readListedFile(file, async (step) => {
    if (stepCount++ === 0) await writeFile(file.path, bytes(4 * 256 * 1024).fill(7));
    return step();
  });
  await expect(reading).rejects.toThrow(/expected SHA-256/);
});

test('another size, no file, and a pipe that nobody writes to are named', async () => {
  const file = await listed(bytes(1000));
  await expect(readListedFile({ ...file, bytes: 999 })).rejects.toThrow(/expected 999 bytes, got 1000/);
  await rm(file.path);
  await expect(readListedFile(file)).rejects.toMatchObject({
    kind: 'not_found',
    expected: 'a file that can be read',
    actual: 'ENOENT: no such file or directory',
  });
  execFileSync('mkfifo', [file.path]);
  await expect(readListedFile(file)).rejects.toThrow(/expected a regular file, got something else/);
});
