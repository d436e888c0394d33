/** How the command reaches a server: through TLS on both sides, and past proxies. Needs the built command. */

import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createAdminClient, createPolicyClient } from '../../clients/typescript/index.ts';
import { startTestServer, temporaryStore } from '../server/fixtures.ts';
import { spawnServer } from '../server/spawn.ts';

const command = fileURLToPath(new URL('../../dist/clients/cli/main.js', import.meta.url));

type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };
const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> =>
  new Promise((resolve) => {
    execFile(process.execPath, [command, ...args], { env: { ...process.env, ...env } }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });

let store: string;
let directory: string;
const path = (name: string) => join(directory, name);

beforeAll(async () => {
  const size = { observationSize: 3, actionSize: 2, hiddenSize: 8 };
  store = await temporaryStore([{ model: 'm', policy: 'plain', critic: 'plain', ...size }], afterAll);
  directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-mtls-'));
  afterAll(() => rm(directory, { recursive: true, force: true }));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'ignore' });
  const names = { server: 'DNS:robots.example', client: 'DNS:robots.example', addressed: 'IP:127.0.0.1' };
  for (const [name, alternative] of Object.entries(names)) {
    const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=${alternative}`];
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', `${name}.key`];
    // Each signs itself: it is its own authority.
    openssl('req', '-x509', '-days', '2', ...key, '-out', `${name}.pem`, ...subject);
  }
  openssl('genrsa', '-out', 'rsa.key', '2048');
});

test('a server is known by the address in its certificate, without a word on standard error, and by no other', async () => {
  const list = async (certificate: string) => {
    const tls = ['--tls-certificate', path(`${certificate}.pem`), '--tls-key', path(`${certificate}.key`)];
    const { address } = await spawnServer(['--store', store, ...tls]);
    return run(['models', 'list', '--server', address, '--tls-authority', path(`${certificate}.pem`)]);
  };
  const [known, foreign] = await Promise.all([list('addressed'), list('server')]);
  expect(known).toMatchObject({ code: 0, stderr: '' });
  expect(foreign).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("IP: 127.0.0.1 is not in the cert's list"),
  });
});

describe('a server that asks for certificates', () => {
  let address: string;
  let admin: string;
  const both = () => [
    '--tls-authority',
    path('server.pem'),
    '--tls-certificate',
    path('client.pem'),
    '--tls-key',
    path('client.key'),
    '--tls-server-name',
    'robots.example',
  ];

  test('is reached by every command', async () => {
    const server = await spawnServer([
      ...['--store', store, '--admin-port', '0'],
      ...['--tls-certificate', path('server.pem'), '--tls-key', path('server.key')],
      ...['--tls-client-authority', path('client.pem')],
    ]);
    address = server.address;
    admin = `127.0.0.1:${server.serving.adminPort}`;
    const asks = [
      ['models', 'list'],
      ['models', 'show'],
      ['act', '--observation', '1,2,3'],
      ['qgrad', '--observation', '1,2,3', '--action', '0,0'],
    ];
    for (const ask of asks) {
      const { code, stderr } = await run([...ask, '--server', address, ...both()]);
      expect({ ask, code, stderr }).toEqual({ ask, code: 0, stderr: '' });
    }
    const label = ['models', 'label', '--model', 'm', '--label', 'a', '--model-version', '1', '--admin', admin];
    expect(await run([...label, ...both()])).toMatchObject({ code: 0, stderr: '' });
    const without = await run(['models', 'list', '--server', address, '--timeout-ms', '3000', ...both().slice(0, 2)]);
    expect(without.code).toBe(1);
    const half = await run(['models', 'list', '--server', address, ...both().slice(0, 4)]);
    expect(half).toMatchObject({
      code: 1,
      stderr: 'hyperpolicy: createPolicyClient tls: expected certificate and key, or neither, got no key\n',
    });
    const missing = await run(['models', 'list', '--server', address, '--tls-key', path('none')]);
    expect(missing.stderr).toContain(`--tls-key ${path('none')}`);
  });

  test('a key of another certificate is refused here, before a server sees none', async () => {
    for (const [certificate, key] of [
      ['client.pem', 'server.key'],
      ['client.pem', 'rsa.key'],
    ]) {
      const options = ['--tls-certificate', path(certificate!), '--tls-key', path(key!)];
      expect((await run(['models', 'list', '--server', '127.0.0.1:1', ...options])).stderr).toBe(
        'hyperpolicy: createPolicyClient tls: expected PEM files, and the key that belongs to the certificate, got a key of another certificate\n',
      );
    }
    const noAuthority = await run(['models', 'list', '--server', '127.0.0.1:1', '--tls-authority', path('client.key')]);
    expect(noAuthority.stderr).toContain('createPolicyClient tls: expected PEM files');
  });

  test('asks for them in each of several processes, on every port', async () => {
    const server = await spawnServer([
      ...['--store', store, '--processes', '2', '--admin-port', '0', '--http-port', '0'],
      ...['--tls-certificate', path('server.pem'), '--tls-key', path('server.key')],
      ...['--tls-client-authority', path('client.pem')],
    ]);
    const { adminPort, httpPort, metricsPort } = server.serving;
    const read = (name: string) => readFile(path(name));
    const [authority, certificate, key] = await Promise.all(['server.pem', 'client.pem', 'client.key'].map(read));
    const tls = { authority: authority!, serverName: 'robots.example' };
    const listed = async (address: string, own: object) => {
      const client = createPolicyClient({ address, tls: { ...tls, ...own }, timeoutMs: 20_000 });
      try {
        return (await client.listModels()).length;
      } finally {
        client.close();
      }
    };
    // Connections go to the processes in turn.
    for (let i = 0; i < 4; i++) {
      expect(await listed(server.address, { certificate, key })).toBe(1);
      await expect(listed(server.address, {})).rejects.toMatchObject({ kind: 'unavailable' });
    }
    const admin = createAdminClient({ address: `127.0.0.1:${adminPort}`, tls });
    onTestFinished(() => admin.close());
    await expect(admin.rollback('m')).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(fetch(`http://127.0.0.1:${httpPort}/`)).rejects.toThrow();
    await expect.poll(() => failed(metricsPort!), { timeout: 30_000 }).toBeGreaterThanOrEqual(4);
  });

  /** Handshakes without a certificate on the gRPC port, over all processes. */
  async function failed(metricsPort: number): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
    return Number(/failed_total\{port="gRPC port",reason="no_client_certificate"\} (\d+)/.exec(text)?.[1] ?? 0);
  }

  test('has every option of TLS in the help of every command that asks a server', async () => {
    const commands = [
      ['act'],
      ['qgrad'],
      ['adapt'],
      ['eval'],
      ['models', 'list'],
      ['models', 'show'],
      ['models', 'rollback'],
    ];
    for (const name of commands) {
      const { stdout } = await run([...name, '--help']);
      for (const flag of [
        '--tls',
        '--tls-authority',
        '--tls-certificate',
        '--tls-key',
        '--tls-server-name',
        '--http-proxy',
      ]) {
        expect({ name, has: stdout.includes(`${flag} `) }).toEqual({ name, has: true });
      }
    }
  });
});

describe('a proxy in the environment', () => {
  test.each(['http_proxy', 'https_proxy', 'grpc_proxy'])(
    '%s does not come between, also where it is asked for',
    async (name) => {
      const { address } = await spawnServer(['--store', store]);
      const environment = {
        [name]: 'http://127.0.0.1:9',
        no_proxy: 'elsewhere.example',
        no_grpc_proxy: 'elsewhere.example',
      };
      const port = address.split(':')[1];
      for (const host of ['127.0.0.1', 'localhost', '127.1']) {
        const list = ['models', 'list', '--server', `${host}:${port}`, '--http-proxy'];
        expect(await run(list, environment)).toMatchObject({ code: 0, stderr: '' });
      }
    },
  );

  test('variables are left alone where none is asked for', async () => {
    const { address } = await startTestServer([{ model: 'm', policy: 'plain', critic: 'plain' }]);
    const { env } = process;
    onTestFinished(() => {
      process.env = env;
    });
    // Who writes to it throws.
    process.env = Object.freeze({ ...env });
    const client = createPolicyClient({ address, timeoutMs: 20_000 });
    onTestFinished(() => client.close());
    expect(await client.listModels()).toHaveLength(1);
  });

  test('another machine is reached without it, and through it where it is asked for', async () => {
    const environment = { http_proxy: 'http://127.0.0.1:9', no_proxy: '', no_grpc_proxy: '' };
    // A host that is nowhere: who looks for it tells which way it took.
    const list = ['models', 'list', '--server', 'robot.invalid:50051', '--timeout-ms', '3000'];
    expect((await run(list, environment)).stderr).toMatch(/robot\.invalid/);
    const proxied = [...list, '--http-proxy'];
    expect((await run(proxied, environment)).stderr).toMatch(/127\.0\.0\.1:9|proxy/);
    // The library takes the end of such a list for every host.
    const ofOthers = { ...environment, no_proxy: 'elsewhere.example,' };
    expect((await run(proxied, ofOthers)).stderr).toMatch(/127\.0\.0\.1:9|proxy/);
    const direct = { ...environment, no_proxy: 'elsewhere.example, Robot.INVALID' };
    expect((await run(proxied, direct)).stderr).toMatch(/Name resolution failed for target dns:robot\.invalid/);
    expect((await run(['models', 'list', '--help'])).stdout).toMatch(
      /localhost,\s+loopback\s+addresses\s+and\s+hosts\s+in\s+no_proxy/,
    );
  });
});
