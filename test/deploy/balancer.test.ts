/** Two servers behind a real haproxy and a real nginx, by the files of deploy/balancer. Needs Debian's `haproxy` and `nginx`. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, vi } from 'vitest';
import { createPolicyClient } from '../../clients/typescript/index.ts';
import { freePort } from '../free-port.ts';
import { testWith } from '../requirements.ts';
import { metricLines, startTestServer, type TestServer } from '../server/fixtures.ts';

const pearl = {
  model: 'pearl',
  policy: 'hyper',
  critic: 'none',
  encoder: true,
  observationSize: 3,
  actionSize: 2,
  contextSize: 3,
  hiddenSize: 8,
  trunkSizes: [8],
} as const;
const observation = [0.1, 0.2, 0.3];
const otherServer =
  'expected a handle that this server holds, got one of another server, or of this one before it was started. Send it with the hyperpolicy-routing-key of its Adapt, or adapt again';

const commands = {
  haproxy: (file: string) => ['-f', file],
  nginx: (file: string, folder: string) => [
    '-c',
    file,
    '-p',
    folder,
    '-g',
    `daemon off; pid ${folder}/pid; error_log stderr;`,
  ],
};
type Balancer = keyof typeof commands;

/** Starts a balancer before these servers. @returns its address */
async function startBalancer(name: Balancer, servers: readonly TestServer[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'hyperpolicy-balancer-'));
  const file = join(folder, 'balancer.conf');
  const port = await freePort();
  const ports: Record<string, number> = { 50050: port };
  for (const [i, { server }] of servers.entries()) {
    Object.assign(ports, { [50051 + i]: server.port, [9464 + 2 * i]: server.metricsPort });
  }
  const lines = await readFile(`deploy/balancer/${name === 'haproxy' ? 'haproxy.cfg' : 'nginx.conf'}`, 'utf8');
  await writeFile(
    file,
    lines.replace(/\b(5005[012]|946[46])\b/g, (number) => `${ports[number]}`),
  );
  const balancer: ChildProcess = spawn(name, commands[name](file, folder), { stdio: 'ignore' });
  const exited = new Promise((resolve) => balancer.once('close', resolve));
  onTestFinished(async () => {
    balancer.kill();
    await exited;
    await rm(folder, { recursive: true, force: true });
  });
  return `127.0.0.1:${port}`;
}

for (const name of ['haproxy', 'nginx'] as const) {
  const isThere = spawnSync(name, ['-v']).status === 0;
  const test = testWith(isThere, name, `apt-get install ${name}`);

  test(`behind ${name} a client's calls and handles stay at one server, and go on where that ends`, {
    timeout: 120_000,
  }, async () => {
    const servers = await Promise.all([startTestServer([pearl]), startTestServer([pearl])]);
    const address = await startBalancer(name, servers);
    const clientOf = (key?: string) => {
      const metadata = key === undefined ? {} : { metadata: { 'hyperpolicy-routing-key': key } };
      const client = createPolicyClient({ address, timeoutMs: 20_000, ...metadata });
      onTestFinished(() => client.close());
      return client;
    };
    const first = clientOf();
    await vi.waitFor(() => first.listModels({ timeoutMs: 2000 }), { timeout: 60_000, interval: 200 });
    const actsOf = async () =>
      Promise.all(
        servers.map(async (server) => {
          const counted = await metricLines(server, 'hyperpolicy_requests_total{method="Act",');
          return Object.entries(counted).reduce((sum, [line, count]) => sum + (line.includes('"OK"') ? count : 0), 0);
        }),
      );
    const { contextHandle } = await first.adapt({ model: 'pearl' });
    for (let i = 0; i < 10; i++) await first.act({ model: 'pearl', observation, contextHandle });
    const own = await actsOf();
    expect([...own].sort()).toEqual([0, 10]);
    const stream = first.actStream({ model: 'pearl' });
    for (let i = 0; i < 3; i++) await stream.act({ observation, contextHandle });
    await stream.close();
    // Of many clients some come to each server, and those of the other one learn where the handle is not.
    const told = await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        clientOf(`robot-${i}`)
          .act({ model: 'pearl', observation, contextHandle })
          .then(
            () => 'acted',
            (error: Error) => error.message,
          ),
      ),
    );
    expect(new Set(told)).toEqual(new Set(['acted', `Act context_handle: ${otherServer}`]));
    const home = servers[own.indexOf(10)]!;
    await home.server.stop();
    await vi.waitFor(() => first.adapt({ model: 'pearl' }, { timeoutMs: 2000 }), { timeout: 60_000, interval: 200 });
    await expect(first.act({ model: 'pearl', observation, contextHandle })).rejects.toThrow(otherServer);
  });
}
