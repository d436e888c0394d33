/** Where the random packages of one run of the tests lie: vitest's global set-up. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** A directory that every test process of the run shares. */
    randomPackageCache: string;
  }
}

export default async function setUp({ provide }: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-random-packages-'));
  provide('randomPackageCache', directory);
  return () => rm(directory, { recursive: true, force: true });
}
