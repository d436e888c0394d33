import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/random-package-cache.ts'],
    // Native addons and child processes: a process per test file, and no more files at once than cores.
    pool: 'forks',
    maxWorkers: 2,
    // Also for the ONNX Runtime of other programs that tests start; ours turns it off itself.
    env: { ORT_DISABLE_TELEMETRY: '1' },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Machines of continuous integration stop for seconds at times. The report marks what passed only the second time ("retry x1").
    retry: process.env.CI ? 1 : 0,
  },
});
