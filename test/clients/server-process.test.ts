/** The server that another command starts, with other lines between those of its log. Needs the built command. */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, onTestFinished, test, vi } from 'vitest';
import type * as serverProcess from '../../clients/cli/server-process.ts';
import { temporaryStore } from '../server/fixtures.ts';

test('lines that are JSON but no objects are in its file, and not taken for its log', async () => {
  const folder = await temporaryStore([{ model: 'plain', policy: 'plain', critic: 'none' }]);
  const foreign = ['null', '42', '"serving"', '[]', 'text'];
  const first = join(folder, 'first.mjs');
  await writeFile(first, `console.log(${JSON.stringify(foreign.join('\n'))});`);
  vi.stubEnv('NODE_OPTIONS', `--import ${pathToFileURL(first).href}`);
  onTestFinished(() => void vi.unstubAllEnvs());
  const built = new URL('../../dist/clients/cli/server-process.js', import.meta.url).href;
  const { startServerProcess } = (await import(built)) as typeof serverProcess;
  const end = new AbortController();
  const logFile = join(folder, 'server.log');
  const warned: string[] = [];
  const flags = { store: folder, port: 0, 'metrics-port': 0, workers: 1 };
  const server = await startServerProcess(flags, {
    logFile,
    warn: (line) => warned.push(line),
    signal: end.signal,
  });
  expect(server!.address).toMatch(/^127\.0\.0\.1:\d+$/);
  end.abort();
  await server!.ended;
  const lines = (await readFile(logFile, 'utf8')).split('\n');
  expect(lines.slice(0, foreign.length)).toEqual(foreign);
  expect(lines.some((line) => line.includes('"msg":"stopped"'))).toBe(true);
  expect(warned).toEqual([]);
});
