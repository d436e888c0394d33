/** The server that another command starts, with other lines between those of its log. Needs the built command. */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, onTestFinished, test, vi } from 'vitest';
import type * as serverProcess from '../../clients/cli/server-process.ts';
import { temporaryStore } from '../server/fixtures.ts';

/** Of the built command. */
async function builtStart(): Promise<typeof serverProcess.startServerProcess> {
  const built = new URL('../../dist/clients/cli/server-process.js', import.meta.url).href;
  return ((await import(built)) as typeof serverProcess).startServerProcess;
}

const flags = { store: 'none', port: 0, 'metrics-port': 0, workers: 1 };

test('lines that are JSON but no objects are in its file, and not taken for its log', async () => {
  const folder = await temporaryStore([{ model: 'plain', policy: 'plain', critic: 'none' }]);
  const foreign = ['null', '42', '"serving"', '[]', 'text'];
  const first = join(folder, 'first.mjs');
  await writeFile(first, `console.log(${JSON.stringify(foreign.join('\n'))});`);
  vi.stubEnv('NODE_OPTIONS', `--import ${pathToFileURL(first).href}`);
  onTestFinished(() => void vi.unstubAllEnvs());
  const startServerProcess = await builtStart();
  const end = new AbortController();
  const logFile = join(folder, 'server.log');
  const warned: string[] = [];
  const server = await startServerProcess(
    { ...flags, store: folder },
    {
      logFile,
      warn: (line) => warned.push(line),
      signal: end.signal,
    },
  );
  expect(server!.address).toMatch(/^127\.0\.0\.1:\d+$/);
  end.abort();
  await server!.ended;
  const lines = (await readFile(logFile, 'utf8')).split('\n');
  expect(lines.slice(0, foreign.length)).toEqual(foreign);
  expect(lines.some((line) => line.includes('"msg":"stopped"'))).toBe(true);
  expect(warned).toEqual([]);
});

test.skipIf(process.platform !== 'linux')('a full disk costs its log, and neither the server nor its end', async () => {
  const startServerProcess = await builtStart();
  const end = new AbortController();
  const warned: string[] = [];
  const server = await startServerProcess(flags, {
    logFile: '/dev/full',
    warn: (line) => warned.push(line),
    signal: end.signal,
  });
  end.abort();
  await server!.ended;
  expect(warned.filter((line) => line.includes('/dev/full'))).toEqual([
    "lines of the server's log are lost: /dev/full cannot be written (ENOSPC: no space left on device, write)",
  ]);
});
