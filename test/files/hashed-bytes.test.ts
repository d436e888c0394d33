import { createHash } from 'node:crypto';
import { type FileHandle, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readHashed, writeHashed } from '../../src/files/hashed-bytes.ts';

let root: string;
let path: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'hashed-bytes-test-'));
  path = join(root, 'file');
});
afterEach(() => rm(root, { recursive: true }));

async function withFile<T>(flags: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, flags);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

const bytes = Uint8Array.from({ length: 23 }, (_, i) => (i * 37) % 256);
const sha256 = createHash('sha256').update(bytes).digest('hex');
/** More than Node hashes, or reads, at once. Nobody writes to it, so it takes no memory. */
const oversize = 2 ** 31 + 5;

describe('bytes that are hashed in slices', () => {
  // Slices that end with the bytes, that do not, of one byte, and one slice for all.
  test.each([1, 5, 23, 24])('of %i have the content and digest of the whole', async (sliceBytes) => {
    expect(await withFile('wx', (file) => writeHashed(file, bytes, sliceBytes))).toBe(sha256);
    expect(new Uint8Array(await readFile(path))).toEqual(bytes);
    const into = new Uint8Array(bytes.length);
    expect(await withFile('r', (file) => readHashed(file, into, sliceBytes))).toBe(sha256);
    expect(into).toEqual(bytes);
  });

  test('one after the other lie one after the other', async () => {
    await withFile('wx', async (file) => {
      for (const part of [bytes.subarray(0, 7), bytes.subarray(7, 7), bytes.subarray(7)]) {
        await writeHashed(file, part, 3);
      }
    });
    expect(new Uint8Array(await readFile(path))).toEqual(bytes);
    const second = new Uint8Array(16);
    await withFile('r', async (file) => {
      await readHashed(file, new Uint8Array(7), 3);
      await readHashed(file, second, 3);
    });
    expect(second).toEqual(bytes.subarray(7));
  });

  test('a file that ends early is an error', async () => {
    await withFile('wx', (file) => writeHashed(file, bytes));
    const reading = withFile('r', (file) => readHashed(file, new Uint8Array(30), 8));
    await expect(reading).rejects.toThrow('the file ends 7 bytes early');
  });

  test('beyond 2 GiB they are hashed, and no write or read is of more than Node takes', async () => {
    const sizes: number[] = [];
    const large = new Uint8Array(oversize);
    const written = await writeHashed(
      {
        writeFile: async (slice) => {
          sizes.push((slice as Uint8Array).length);
        },
      },
      large,
    );
    expect(sizes.reduce((sum, size) => sum + size)).toBe(oversize);
    expect(Math.max(...sizes)).toBeLessThan(2 ** 31);
    const read = async (_: unknown, from: number, size: number) => {
      expect(from + size).toBeLessThanOrEqual(oversize);
      expect(size).toBeLessThan(2 ** 31);
      return { bytesRead: size, buffer: large };
    };
    expect(await readHashed({ read: read as unknown as FileHandle['read'] }, large)).toBe(written);
  }, 60_000);
});
