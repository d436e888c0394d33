/**
 * A disk that takes no more. The limit on the size of files that the kernel keeps for each process stands in for it: `prlimit` sets
 * it for a server that runs, and takes it away again, without anybody's rights. Every write that grows a file then fails.
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished } from 'vitest';
import { createAdminClient } from '../../../clients/typescript/admin.ts';
import { createPolicyClient } from '../../../clients/typescript/client.ts';
import { testWith } from '../../requirements.ts';
import { temporaryStore } from '../fixtures.ts';

const command = fileURLToPath(new URL('../../../dist/clients/cli/main.js', import.meta.url));
const plain = (seed: number) =>
  ({ model: 'm', policy: 'plain', critic: 'none', observationSize: 3, actionSize: 2, hiddenSize: 64, seed }) as const;
const request = { model: 'm', observation: [1, 2, 3] };

const diskTest = testWith(spawnSync('prlimit', ['--version']).status === 0, 'prlimit', 'apt-get install util-linux');

/** Sets how large a file the process may make. */
const setFileLimit = (pid: number, bytes: number | 'unlimited'): void => {
  const { status, stderr } = spawnSync('prlimit', ['--pid', `${pid}`, `--fsize=${bytes}:unlimited`]);
  if (status !== 0) throw new Error(`prlimit: ${stderr}`);
};

/** Everything under a directory, with its content. */
async function contentOf(directory: string): Promise<Record<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  return Object.fromEntries(
    await Promise.all(files.map(async (file) => [file, await readFile(file, 'base64')] as const)),
  );
}

async function startServer(store: string) {
  const ports = ['--port', '0', '--metrics-port', '0', '--admin-port', '0'];
  const child = spawn(process.execPath, [command, 'serve', '--store', store, '--watch-ms', '50', ...ports], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(async () => {
    if (child.exitCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  const { address, adminPort } = await new Promise<{ address: string; adminPort: number }>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (text) => {
      const line = JSON.parse(text);
      if (line.msg === 'serving') resolve(line);
    });
  });
  const client = createPolicyClient({ address });
  const admin = createAdminClient({ address: `127.0.0.1:${adminPort}` });
  onTestFinished(() => {
    client.close();
    admin.close();
  });
  return { pid: child.pid!, client, admin };
}

describe('on a full disk', () => {
  diskTest(
    'labels stay as they are, requests are answered, and what was refused works once there is room',
    async () => {
      const store = await temporaryStore([plain(1), plain(2)]);
      const { pid, client, admin } = await startServer(store);
      await admin.setLabel('m', 'stable', 1);
      const before = await contentOf(store);
      setFileLimit(pid, 0);
      for (const change of [
        () => admin.setLabel('m', 'stable', 2),
        () => admin.rollback('m'),
        () => admin.unloadVersion('m', 2),
        () => admin.setTraffic('m', { stable: 100 }),
      ]) {
        await expect(change()).rejects.toMatchObject({
          kind: 'failed_precondition',
          message: 'routing: expected a store that can be written, got EFBIG',
        });
      }
      expect(await contentOf(store)).toEqual(before);
      expect((await client.act(request)).version).toBe(2);
      expect((await client.act({ ...request, label: 'stable' })).version).toBe(1);
      setFileLimit(pid, 'unlimited');
      await admin.setLabel('m', 'stable', 2);
      expect((await client.act({ ...request, label: 'stable' })).version).toBe(2);
    },
  );

  diskTest('publishing fails in one line, leaves the store as it was, and the server serves', async () => {
    const store = await temporaryStore([plain(1)]);
    const { client } = await startServer(store);
    const before = await contentOf(store);
    const sizes = ['--policy', 'plain', '--critic', 'none', '--hidden', '256'];
    const publish = (blocks: string) =>
      spawnSync(
        'sh',
        [
          '-c',
          `ulimit -f ${blocks}; exec "$@"`,
          'sh',
          process.execPath,
          command,
          'models',
          'make-random',
          '--store',
          store,
          '--model',
          'm',
          ...sizes,
        ],
        {
          encoding: 'utf8',
        },
      );
    // Some kilobytes fit: the failure comes within the graph, when a part of it is on the disk.
    const failed = publish('8');
    expect(failed.status).toBe(1);
    expect(failed.stderr).toMatch(/^hyperpolicy: .*expected a store that can be written, got .*EFBIG.*\n$/);
    expect(await contentOf(store)).toEqual(before);
    expect((await readdir(store)).filter((name) => name !== 'm')).toEqual([]);
    expect((await client.act(request)).version).toBe(1);
    expect(publish('unlimited').status).toBe(0);
    expect(Object.keys(await contentOf(store)).length).toBeGreaterThan(Object.keys(before).length);
  });
});
