import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync } from 'node:fs';
import { rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { createAdminClient } from '../../../clients/typescript/admin.ts';
import { createPolicyClient, type PolicyClientOptions } from '../../../clients/typescript/client.ts';
import { openTokens } from '../../../server/access/tokens.ts';
import { GRPCInferenceService } from '../../../src/gen/inference/grpc_predict_v2_pb.ts';
import { rawCaller } from '../../compliance/raw-call.ts';
import { recordingLog, startTestServer, temporaryStore } from '../fixtures.ts';

const plain = (model: string) =>
  ({ model, policy: 'plain', critic: 'none', observationSize: 3, actionSize: 2, hiddenSize: 8 }) as const;
const observation = [0.1, 0.2, 0.3];
const sha256 = (token: string) => createHash('sha256').update(token).digest('hex');

const client = (options: PolicyClientOptions) => {
  const created = createPolicyClient({ timeoutMs: 10_000, ...options });
  onTestFinished(() => created.close());
  return created;
};

/** A server with tokens: `walker` may use walker-*, `slow` twice a second, `boss` everything and the admin port. */
async function startWithTokens() {
  const store = await temporaryStore([plain('walker-1'), plain('secret')]);
  const tokensFile = join(store, 'tokens.json');
  await writeFile(
    tokensFile,
    JSON.stringify([
      { name: 'walker', sha256: sha256('walker-token'), models: ['walker-*'] },
      { name: 'slow', sha256: sha256('slow-token'), requestsPerSecond: 2 },
      { name: 'boss', sha256: sha256('boss-token'), admin: true },
    ]),
  );
  const started = await startTestServer([], { store, tokensFile, adminPort: 0 });
  const as = (token?: string) => client({ address: started.address, ...(token !== undefined && { token }) });
  return { ...started, as, tokensFile };
}

describe('tokens', () => {
  test('nobody gets in without one, or with a wrong one', async () => {
    const { as } = await startWithTokens();
    await expect(as().act({ model: 'walker-1', observation })).rejects.toMatchObject({
      kind: 'unauthenticated',
      message: 'Act: expected a header "authorization: Bearer TOKEN" with a known token, got none',
    });
    await expect(as('guess').listModels()).rejects.toMatchObject({ kind: 'unauthenticated' });
    await expect(as('guess').actStream({ model: 'walker-1' }).act({ observation })).rejects.toMatchObject({
      kind: 'unauthenticated',
    });
  });

  test('a token sees and uses its own models only', async () => {
    const { as } = await startWithTokens();
    const walker = as('walker-token');
    expect((await walker.act({ model: 'walker-1', observation })).version).toBe(1);
    expect((await walker.listModels()).map(({ model }) => model)).toEqual(['walker-1']);
    const denied = {
      kind: 'permission_denied',
      message: 'Act model: expected a model that this token may use, got "secret"',
    };
    await expect(walker.act({ model: 'secret', observation })).rejects.toMatchObject(denied);
    await expect(walker.getModel({ model: 'secret' })).rejects.toMatchObject({ kind: 'permission_denied' });
    await expect(walker.actStream({ model: 'secret' }).act({ observation })).rejects.toMatchObject({
      kind: 'permission_denied',
    });
    // The names of others are not told.
    await expect(walker.act({ model: 'walker-9', observation })).rejects.toThrow(
      'Act model: expected one of "walker-1", got "walker-9"',
    );
    expect(await as('boss-token').listModels()).toHaveLength(2);
  });

  test("a token's models are all that the inference protocol shows and answers", async () => {
    const { address } = await startWithTokens();
    const client = new grpc.Client(address, grpc.credentials.createInsecure());
    onTestFinished(() => client.close());
    const call = <I extends DescMessage, O extends DescMessage>(
      { name, input, output }: DescMethodUnary<I, O>,
      request: MessageInitShape<I>,
    ): Promise<MessageShape<O> | string> =>
      new Promise((resolve) => {
        const metadata = new grpc.Metadata();
        metadata.set('authorization', 'Bearer walker-token');
        const path = `/inference.GRPCInferenceService/${name}`;
        const bytes = Buffer.from(toBinary(input, create(input, request)));
        const pass = (one: Buffer) => one;
        client.makeUnaryRequest(path, pass, pass, bytes, metadata, (error, response) => {
          resolve(error === null ? fromBinary(output, response!) : grpc.status[error.code]!);
        });
      });
    const { repositoryIndex, modelConfig, modelMetadata, modelInfer, modelReady } = GRPCInferenceService.method;
    expect(await call(repositoryIndex, {})).toMatchObject({ models: [{ name: 'walker-1', version: '1' }] });
    expect(await call(repositoryIndex, { repositoryName: 'elsewhere' })).toMatchObject({ models: [] });
    for (const refused of [
      call(modelConfig, { name: 'secret' }),
      call(modelMetadata, { name: 'secret' }),
      call(modelInfer, { modelName: 'secret' }),
    ]) {
      expect(await refused).toBe('PERMISSION_DENIED');
    }
    expect(await call(modelReady, { name: 'secret' })).toMatchObject({ ready: false });
  });

  test('a rate is kept, and named when it is over', async () => {
    const { as } = await startWithTokens();
    const slow = as('slow-token');
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, () => slow.act({ model: 'secret', observation })),
    );
    const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    expect(refused.length).toBeGreaterThanOrEqual(4);
    for (const reason of refused) {
      expect(reason).toMatchObject({
        kind: 'resource_exhausted',
        message: 'Act: expected at most 2 requests per second with this token, got one more. Retry later',
      });
    }
    expect(results.length - refused.length).toBeGreaterThanOrEqual(2);
  });

  test('the admin port wants an admin; health wants nobody', async () => {
    const { server, address } = await startWithTokens();
    const admin = (token?: string) => {
      const created = createAdminClient({
        address: `127.0.0.1:${server.adminPort}`,
        ...(token !== undefined && { token }),
      });
      onTestFinished(() => created.close());
      return created;
    };
    await expect(admin().rollback('secret')).rejects.toMatchObject({ kind: 'unauthenticated' });
    await expect(admin('walker-token').rollback('secret')).rejects.toMatchObject({ kind: 'permission_denied' });
    await expect(admin('boss-token').rollback('secret')).rejects.toMatchObject({ kind: 'failed_precondition' });
    expect((await rawCaller(address)('/grpc.health.v1.Health/Check', new Uint8Array(0))).status).toBe('OK');
  });

  test('a changed file takes effect, a bad one does not', async () => {
    const { tokensFile } = await startWithTokens();
    const { log, lines } = recordingLog();
    const tokens = openTokens(tokensFile, log);
    const knows = (token: string) => {
      try {
        return tokens.identify('Act', `Bearer ${token}`).name;
      } catch {
        return undefined;
      }
    };
    const change = async (text: string, time: number) => {
      await writeFile(tokensFile, text);
      await utimes(tokensFile, time, time);
      tokens.refresh();
    };
    expect([knows('boss-token'), knows('new-token')]).toEqual(['boss', undefined]);
    await change(JSON.stringify([{ name: 'new', sha256: sha256('new-token') }]), 1000);
    expect([knows('boss-token'), knows('new-token')]).toEqual([undefined, 'new']);
    await change('[{"name": "x"}]', 2000);
    expect(knows('new-token')).toBe('new');
    expect(lines.map(({ msg }) => msg)).toEqual(['tokens read again', 'tokens refused; the former ones hold']);
  });

  test('a changed file leaves the rates that it does not change as they stand', async () => {
    const { tokensFile } = await startWithTokens();
    let nowMs = 0;
    const tokens = openTokens(tokensFile, recordingLog().log, { clock: () => nowMs });
    const isIn = () => {
      try {
        tokens.identify('Act', 'Bearer slow-token').admit('Act');
        return true;
      } catch {
        return false;
      }
    };
    expect([isIn(), isIn(), isIn()]).toEqual([true, true, false]);
    const change = async (requestsPerSecond: number, time: number) => {
      await writeFile(tokensFile, JSON.stringify([{ name: 'slow', sha256: sha256('slow-token'), requestsPerSecond }]));
      await utimes(tokensFile, time, time);
      tokens.refresh();
    };
    await change(2, 1000);
    expect(isIn()).toBe(false);
    nowMs += 500;
    expect([isIn(), isIn()]).toEqual([true, false]);
    await change(3, 2000);
    expect([isIn(), isIn(), isIn(), isIn()]).toEqual([true, true, true, false]);
  });

  test('a running server takes a changed file up', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const { as, tokensFile } = await startWithTokens();
    await writeFile(tokensFile, JSON.stringify([{ name: 'new', sha256: sha256('new-token') }]));
    await utimes(tokensFile, 1000, 1000);
    expect(await as('boss-token').listModels()).toHaveLength(2);
    vi.advanceTimersByTime(5000);
    expect(await as('new-token').listModels()).toHaveLength(2);
    await expect(as('boss-token').listModels()).rejects.toMatchObject({ kind: 'unauthenticated' });
  });

  test('two tokens of one name, or one token twice, are refused', async () => {
    const directory = await temporaryStore();
    const tokensFile = join(directory, 'tokens.json');
    const [a, b] = ['a', 'b'].map((token) => ({ name: token, sha256: sha256(token) }));
    for (const [entries, reason] of [
      [[a, b, { ...b, name: 'a', sha256: sha256('c') }], '2.name: the same as 0.name'],
      [[a, { ...a, name: 'b' }], '1.sha256: the same as 0.sha256'],
    ] as const) {
      await writeFile(tokensFile, JSON.stringify(entries));
      expect(() => openTokens(tokensFile, recordingLog().log)).toThrow(
        `tokens file: expected a JSON list of { name, sha256, ... }, each name and hash once, got ${reason}`,
      );
    }
    await writeFile(tokensFile, JSON.stringify([a, b]));
    expect(openTokens(tokensFile, recordingLog().log).identify('Act', 'Bearer b').name).toBe('b');
  });

  test('a bad file stops the start with its reason', async () => {
    const store = await temporaryStore();
    const tokensFile = join(store, 'tokens.json');
    await writeFile(tokensFile, '[{"name": "x", "sha256": "short"}]');
    await expect(startTestServer([], { store, tokensFile })).rejects.toThrow(
      /^tokens file: expected a JSON list .*0\.sha256/,
    );
  });
});

describe('TLS', () => {
  let directory: string;
  const path = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'ignore' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  function sign(name: string, authority: string): void {
    openssl(
      'req',
      '-new',
      ...key.slice(0, 4),
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-subj',
      `/CN=${name}`,
      '-nodes',
    );
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      `${authority}.pem`,
      '-CAkey',
      `${authority}.key`,
      '-CAcreateserial',
      '-days',
      '2',
      '-out',
      `${name}.pem`,
      '-extfile',
      'names.cnf',
    );
  }

  beforeAll(async () => {
    directory = await (await import('node:fs/promises')).mkdtemp(
      join((await import('node:os')).tmpdir(), 'hyperpolicy-tls-'),
    );
    await writeFile(path('names.cnf'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
    for (const authority of ['servers', 'clients']) {
      openssl(
        'req',
        '-x509',
        ...key,
        '-keyout',
        `${authority}.key`,
        '-out',
        `${authority}.pem`,
        '-subj',
        `/CN=${authority}`,
      );
    }
    sign('server', 'servers');
    sign('robot', 'clients');
    sign('stranger', 'servers');
  });

  const serverTls = () => ({ tlsCertificateFile: path('server.pem'), tlsKeyFile: path('server.key') });
  const authority = () => readFileSync(path('servers.pem'));

  test('serves clients that trust its authority, and no others', async () => {
    const { address } = await startTestServer([plain('m')], serverTls());
    const trusting = client({ address, tls: { authority: authority() } });
    expect((await trusting.act({ model: 'm', observation })).version).toBe(1);
    const both = 'Check the address, and that client and server both use TLS or neither does';
    for (const other of [{ tls: {} }, {}]) {
      const refused = client({ address, ...other }).listModels();
      await expect(refused).rejects.toMatchObject({ kind: 'unavailable', remedy: both });
    }
  });

  test('asks for a certificate of its clients where it has their authority', async () => {
    const settings = { ...serverTls(), tlsClientAuthorityFile: path('clients.pem') };
    const { address } = await startTestServer([plain('m')], settings);
    const withCertificate = (name: string) => ({
      authority: authority(),
      certificate: readFileSync(path(`${name}.pem`)),
      key: readFileSync(path(`${name}.key`)),
    });
    const known = client({ address, tls: withCertificate('robot') });
    expect((await known.act({ model: 'm', observation })).version).toBe(1);
    for (const tls of [{ authority: authority() }, withCertificate('stranger')]) {
      await expect(client({ address, tls, timeoutMs: 2000 }).listModels()).rejects.toThrow();
    }
  });

  const pemOf = (name: string) => readFileSync(path(`${name}.pem`), 'utf8');
  /** Authorities of clients: `servers`, and `clients` after something was done to it. */
  const writeBundle = (damage: (pem: string) => string) =>
    writeFile(path('live-ca.pem'), pemOf('servers') + damage(pemOf('clients')));

  /** Copies of certificate, key and authority of clients, to be replaced under a server whose timers a test moves. */
  async function startWithCopies() {
    const copies = {
      'server.pem': path('live.pem'),
      'server.key': path('live.key'),
      'clients.pem': path('live-ca.pem'),
    };
    for (const [from, to] of Object.entries(copies)) copyFileSync(path(from), to);
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const started = await startTestServer([plain('m')], {
      tlsCertificateFile: path('live.pem'),
      tlsKeyFile: path('live.key'),
      tlsClientAuthorityFile: path('live-ca.pem'),
    });
    /** Whether a new connection of this client, which trusts this authority, is served. */
    const serves = async (name: string, trusted: string) => {
      const tls = {
        authority: readFileSync(path(`${trusted}.pem`)),
        certificate: readFileSync(path(`${name}.pem`)),
        key: readFileSync(path(`${name}.key`)),
      };
      const one = createPolicyClient({ address: started.address, tls, timeoutMs: 5000 });
      try {
        return (await one.act({ model: 'm', observation })).version === 1;
      } catch {
        return false;
      } finally {
        one.close();
      }
    };
    return { ...started, serves, look: () => vi.advanceTimersByTime(10_000) };
  }

  test('a certificate and an authority that are replaced serve the next connection', async () => {
    const { serves, look, lines } = await startWithCopies();
    expect([await serves('robot', 'servers'), await serves('stranger', 'servers')]).toEqual([true, false]);
    // From now on the server's is signed by `clients`, and clients' must be by `servers`.
    sign('next', 'clients');
    copyFileSync(path('next.pem'), path('live.pem'));
    copyFileSync(path('next.key'), path('live.key'));
    copyFileSync(path('servers.pem'), path('live-ca.pem'));
    expect(await serves('robot', 'servers')).toBe(true);
    look();
    expect([
      await serves('robot', 'servers'),
      await serves('stranger', 'servers'),
      await serves('robot', 'clients'),
      await serves('stranger', 'clients'),
    ]).toEqual([false, false, false, true]);
    expect(lines.filter(({ msg }) => /certificates/.test(String(msg)))).toMatchObject([
      { msg: 'certificates read again', validTo: expect.stringMatching(/GMT$/) },
    ]);
  });

  test('several authorities hold together, with text between them', async () => {
    const { serves, look } = await startWithCopies();
    await writeBundle((pem) => `# The next one - from May on.\n${pem}`);
    look();
    expect([await serves('robot', 'servers'), await serves('stranger', 'servers')]).toEqual([true, true]);
  });

  test.each([
    ['that is damaged', () => writeFile(path('live.pem'), 'no certificate')],
    ['whose key is not there yet', async () => copyFileSync(path('robot.pem'), path('live.pem'))],
    ['that is gone', () => rm(path('live.key'))],
    ['whose authority is damaged', () => writeFile(path('live-ca.pem'), 'no certificate')],
    ['whose second authority is damaged', () => writeBundle((pem) => pem.replace(/^MII/m, 'AAA'))],
    ['whose second authority is cut off', () => writeBundle((pem) => pem.slice(0, pem.length / 2))],
    ['whose second authority has lost its beginning', () => writeBundle((pem) => pem.slice(pem.length / 2))],
  ])('a certificate %s leaves the former one in force, and the log says so', async (_, damage) => {
    const { serves, look, lines } = await startWithCopies();
    await damage();
    look();
    look();
    expect(await serves('robot', 'servers')).toBe(true);
    const told = lines.filter(({ msg }) => /the former ones hold/.test(String(msg)));
    expect(told).toHaveLength(1);
    expect(JSON.stringify(told)).not.toContain(directory);
  });

  test('half of a setting, or a file that is not there, stops the start', async () => {
    const store = await temporaryStore();
    await expect(startTestServer([], { store, tlsKeyFile: path('server.key') })).rejects.toThrow(
      'TLS: expected a certificate and a key, got only a part of them',
    );
    copyFileSync(path('server.pem'), path('copy.pem'));
    await expect(
      startTestServer([], { store, tlsCertificateFile: path('copy.pem'), tlsKeyFile: path('none.key') }),
    ).rejects.toThrow(`TLS: expected a file that can be read, got ${path('none.key')}`);
    await expect(
      startTestServer([], { store, tlsCertificateFile: path('server.pem'), tlsKeyFile: path('robot.key') }),
    ).rejects.toThrow(/^TLS: expected a certificate chain, its key and, where named, authorities .*mismatch/);
  });
});
