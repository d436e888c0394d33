import { execFile, execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { rm, utimes, writeFile } from 'node:fs/promises';
import { type RequestOptions, request } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
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
import type { TlsOptions } from '../../../clients/typescript/tls.ts';
import { openTokens } from '../../../server/access/tokens.ts';
import { parseServerConfig } from '../../../server/config.ts';
import { openCertificates } from '../../../src/files/certificates.ts';
import {
  Health as HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../../src/gen/grpc/health/v1/health_pb.ts';
import { ServerReflection } from '../../../src/gen/grpc/reflection/v1/reflection_pb.ts';
import {
  ActStreamRequestSchema,
  type ActStreamResponse,
  ActStreamResponseSchema,
} from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { GRPCInferenceService } from '../../../src/gen/inference/grpc_predict_v2_pb.ts';
import { rawCaller, rawPeer } from '../../compliance/raw-call.ts';
import { metricLines, recordingLog, startTestServer, temporaryStore } from '../fixtures.ts';

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
    const { server, address, lines } = await startWithTokens();
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
    const told = lines.filter(({ action }) => action !== undefined);
    expect(told).toMatchObject([{ action: 'Rollback', model: 'secret', token: 'boss', msg: 'admin action refused' }]);
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

  test('a stream ends when its token is gone, and is answered by what its token may use now', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const { address, tokensFile } = await startWithTokens();
    const open = async (token: string, model: string) => {
      const metadata = new grpc.Metadata();
      metadata.set('authorization', `Bearer ${token}`);
      const caller = new grpc.Client(address, grpc.credentials.createInsecure());
      onTestFinished(() => caller.close());
      const stream = caller.makeBidiStreamRequest(
        '/hyperpolicy.v1.PolicyService/ActStream',
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => fromBinary(ActStreamResponseSchema, bytes),
        metadata,
      );
      const ended = new Promise<grpc.StatusObject>((resolve) => stream.on('status', resolve));
      stream.on('error', () => {});
      const data = new Uint8Array(Float32Array.from(observation).buffer);
      const ask = async () => {
        const act = { model, observation: { shape: [3], data } };
        stream.write(Buffer.from(toBinary(ActStreamRequestSchema, create(ActStreamRequestSchema, { act }))));
        const [{ result }] = (await once(stream, 'data')) as [ActStreamResponse];
        return result.case === 'error' ? result.value.status : result.case;
      };
      expect(await ask()).toBe('response');
      return { ask, ended };
    };
    const gone = await open('slow-token', 'secret');
    const narrowed = await open('boss-token', 'secret');
    const kept = await open('walker-token', 'walker-1');
    const tokens = [
      { name: 'walker', sha256: sha256('walker-token'), models: ['walker-*'] },
      { name: 'boss', sha256: sha256('boss-token'), models: ['walker-*'] },
    ];
    await writeFile(tokensFile, JSON.stringify(tokens));
    vi.advanceTimersByTime(5000);
    expect(await gone.ended).toMatchObject({
      code: grpc.status.UNAUTHENTICATED,
      details: 'ActStream: expected a header "authorization: Bearer TOKEN" with a known token, got another one',
    });
    expect([await narrowed.ask(), await kept.ask()]).toEqual(['PERMISSION_DENIED', 'response']);
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
    await writeFile(tokensFile, '{}');
    expect(() => openTokens(tokensFile, recordingLog().log)).toThrow(/, got Invalid input: expected array/);
    const text = JSON.stringify([a, b]);
    // The last one would be in force, and open to every model.
    await writeFile(tokensFile, text.replace('"name":"a"', '"name":"a","models":["walker-*"],"models":["*"]'));
    expect(() => openTokens(tokensFile, recordingLog().log)).toThrow('got "models" twice in an object (line 1)');
    await writeFile(tokensFile, text);
    expect(openTokens(tokensFile, recordingLog().log).identify('Act', 'Bearer b').name).toBe('b');
  });

  test('a slip in a key is refused with the key that it is nearest to', async () => {
    const tokensFile = join(await temporaryStore(), 'tokens.json');
    const refused = (entry: object) => {
      writeFileSync(tokensFile, JSON.stringify([{ name: 'a', sha256: sha256('a'), ...entry }]));
      return expect(() => openTokens(tokensFile, recordingLog().log));
    };
    refused({ requestPerSecond: 5 }).toThrow(
      'got 0: Unrecognized key: "requestPerSecond". Did you mean requestsPerSecond?',
    );
    refused({ Admin: true }).toThrow('Did you mean admin?');
    refused({ admin: 'yes' }).toThrow(/got 0\.admin: .*expected boolean, received string$/);
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

  test('a key of another certificate is refused, of another kind too', async () => {
    const store = await temporaryStore();
    openssl('genrsa', '-out', 'rsa.key', '2048');
    openssl('req', '-x509', '-key', 'rsa.key', '-days', '2', '-out', 'rsa.pem', '-subj', '/CN=rsa');
    for (const [certificate, other] of [
      ['server.pem', 'rsa.key'],
      ['rsa.pem', 'server.key'],
      ['rsa.pem', 'robot.key'],
    ] as const) {
      const files = { tlsCertificateFile: path(certificate), tlsKeyFile: path(other) };
      await expect(startTestServer([], { store, ...files })).rejects.toThrow(
        'TLS: expected a certificate chain, its key and, where named, authorities of clients, each as PEM, got key and certificate mismatch',
      );
    }
    const { serves, look, lines } = await startWithCopies();
    copyFileSync(path('rsa.key'), path('live.key'));
    look();
    expect(await serves('robot', 'servers')).toBe(true);
    expect(lines).toContainEqual(
      expect.objectContaining({ msg: 'certificates refused; the former ones hold', port: 'gRPC port' }),
    );
  });

  /** One request over TLS, without a connection that is kept. */
  const ask = (port: number | undefined, options: RequestOptions): Promise<number> =>
    new Promise((resolve, reject) => {
      const url = `https://127.0.0.1:${port}/hyperpolicy.v1.PolicyService/ListModels`;
      const headers = { 'content-type': 'application/json' };
      const asked = request(url, { method: 'POST', headers, agent: false, ca: authority(), ...options }, (response) => {
        response.resume();
        response.once('end', () => resolve(response.statusCode!));
      });
      asked.once('error', reject);
      asked.end('{}');
    });
  const identity = (name: string) => ({
    cert: readFileSync(path(`${name}.pem`)),
    key: readFileSync(path(`${name}.key`)),
  });

  test('every port that takes requests has it, and asks clients for their certificate', async () => {
    const settings = { ...serverTls(), tlsClientAuthorityFile: path('clients.pem'), httpPort: 0, adminPort: 0 };
    const { server } = await startTestServer([plain('m')], settings);
    expect(await ask(server.httpPort, identity('robot'))).toBe(200);
    for (const refused of [{}, identity('stranger')]) await expect(ask(server.httpPort, refused)).rejects.toThrow();
    await expect(fetch(`http://127.0.0.1:${server.httpPort}/`)).rejects.toThrow();
    const adminAt = (tls?: TlsOptions) => {
      const address = `127.0.0.1:${server.adminPort}`;
      const admin = createAdminClient({ address, timeoutMs: 2000, ...(tls && { tls }) });
      onTestFinished(() => admin.close());
      return admin;
    };
    const { cert, key: own } = identity('robot');
    const known = adminAt({ authority: authority(), certificate: cert, key: own });
    expect((await known.setLabel('m', 'stable', 1)).versions).toEqual([1]);
    for (const tls of [undefined, { authority: authority() }]) {
      await expect(adminAt(tls).setLabel('m', 'stable', 1)).rejects.toMatchObject({ kind: 'unavailable' });
    }
  });

  test('the HTTP port is plain beside it only where that is said, with a warning', async () => {
    const { server, lines } = await startTestServer([plain('m')], { ...serverTls(), httpPort: 0, httpPlaintext: true });
    expect((await fetch(`http://127.0.0.1:${server.httpPort}/`)).status).toBe(404);
    expect(lines).toContainEqual(
      expect.objectContaining({
        port: 'HTTP port',
        msg: 'without TLS, as --http-plaintext says: tokens and tensors can be read on the way',
      }),
    );
  });

  test('a certificate that is replaced serves the next request of the HTTP port', async () => {
    for (const end of ['pem', 'key']) copyFileSync(path(`server.${end}`), path(`live.${end}`));
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const files = { tlsCertificateFile: path('live.pem'), tlsKeyFile: path('live.key') };
    const { server, lines } = await startTestServer([plain('m')], { ...files, httpPort: 0 });
    sign('later', 'clients');
    for (const end of ['pem', 'key']) copyFileSync(path(`later.${end}`), path(`live.${end}`));
    vi.advanceTimersByTime(10_000);
    await expect(ask(server.httpPort, {})).rejects.toThrow();
    expect(await ask(server.httpPort, { ca: readFileSync(path('clients.pem')) })).toBe(200);
    const again = lines.filter(({ msg }) => msg === 'certificates read again');
    expect(again.map(({ port }) => port).sort()).toEqual(['HTTP port', 'gRPC port']);
  });

  test('its end is a metric; one that ends soon, has ended or does not hold yet is a warning once a day', async () => {
    const started = await startTestServer([], { store: await temporaryStore(), ...serverTls() });
    const name = 'hyperpolicy_tls_certificate_expiry_timestamp_seconds{port="gRPC port"}';
    const { [name]: end } = await metricLines(started, 'hyperpolicy_tls_certificate');
    const inTwoDays = Date.now() / 1000 + 2 * 86_400;
    expect(Math.abs(end! - inTwoDays)).toBeLessThan(3600);
    expect(started.lines).toContainEqual(
      expect.objectContaining({ msg: 'certificate ends soon: replace it', port: 'gRPC port' }),
    );
    const { log, lines } = recordingLog();
    let nowMs = Date.now();
    const files = { ...serverTls(), tlsClientAuthorityFile: null };
    const certificates = openCertificates(files, log, () => nowMs)!;
    const said = () => lines.splice(0).map(({ msg }) => msg);
    expect(said()).toEqual(['certificate ends soon: replace it']);
    certificates.refresh();
    expect(said()).toEqual([]);
    nowMs = end! * 1000;
    certificates.refresh();
    certificates.refresh();
    expect(said()).toEqual(['certificate has ended: clients refuse it; replace it']);
    nowMs = 0;
    openCertificates(files, log, () => nowMs);
    expect(said()).toEqual(['certificate does not hold yet: clients refuse it']);
    openssl('req', '-x509', '-key', 'server.key', '-days', '60', '-out', 'long.pem', '-subj', '/CN=long');
    openCertificates({ ...files, tlsCertificateFile: path('long.pem') }, log);
    expect(said()).toEqual([]);
    // The other certificates of the chain count as well.
    writeFileSync(path('chain.pem'), `${readFileSync(path('long.pem'))}${authority()}`);
    const chain = openCertificates({ ...files, tlsCertificateFile: path('chain.pem') }, log)!;
    expect(chain.current.validToMs).toBe(Date.parse(new X509Certificate(authority()).validTo));
    expect(said()).toEqual(['certificate ends soon: replace it']);
  });

  test('handshakes that fail are counted and logged with their reason, one line for each', async () => {
    const settings = { ...serverTls(), tlsClientAuthorityFile: path('clients.pem'), httpPort: 0 };
    const started = await startTestServer([plain('m')], settings);
    const { server, lines } = started;
    const shake = (port: number, options: ConnectionOptions) =>
      new Promise<void>((resolve) => {
        const socket = connectTls({ port, host: '127.0.0.1', ca: authority(), ...options });
        socket.on('error', () => {});
        socket.once('close', () => resolve());
      });
    /** A client that says why it goes; Node's says nothing. */
    const distrust = (port: number) => {
      const args = ['s_client', '-connect', `127.0.0.1:${port}`, '-CAfile', 'clients.pem', '-verify_return_error'];
      const files = ['-cert', 'robot.pem', '-key', 'robot.key'];
      execFile('openssl', [...args, ...files], { cwd: directory }).stdin!.end();
    };
    const plainText = (port: number, text: string) =>
      new Promise<void>((resolve) => {
        const socket = connect({ port, host: '127.0.0.1' }, () => socket.end(text));
        socket.on('error', () => {});
        socket.once('close', () => resolve());
        socket.resume();
      });
    const counted = async (port: string) => {
      const found = await metricLines(started, 'hyperpolicy_tls_handshakes_failed_total');
      return Object.fromEntries(
        Object.entries(found).flatMap(([name, count]) => {
          const [, at, reason] = /port="([^"]*)",reason="([^"]*)"/.exec(name)!;
          return at === port && count > 0 ? [[reason, count]] : [];
        }),
      );
    };
    for (const [name, port] of [
      ['gRPC port', server.port],
      ['HTTP port', server.httpPort!],
    ] as const) {
      await shake(port, {});
      await shake(port, {});
      await shake(port, identity('stranger'));
      distrust(port);
      await shake(port, {
        ...identity('robot'),
        maxVersion: 'TLSv1.1',
        minVersion: 'TLSv1.1',
        ciphers: 'ALL@SECLEVEL=0',
      });
      await plainText(port, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n');
      await plainText(port, '');
      await expect
        .poll(() => counted(name))
        .toEqual({
          no_client_certificate: 2,
          client_certificate_refused: 1,
          certificate_refused_by_client: 1,
          no_common_protocol: 1,
          not_tls: 1,
          left: 1,
        });
      const told = lines.filter(({ msg, port: at }) => msg === 'TLS handshakes failed' && at === name);
      expect(told.map(({ reason }) => reason).sort()).toEqual(Object.keys(await counted(name)).sort());
      expect(told).toContainEqual(
        expect.objectContaining({ reason: 'client_certificate_refused', cause: 'SELF_SIGNED_CERT_IN_CHAIN' }),
      );
    }
  });
});

describe('the admin port', () => {
  test.each(['0.0.0.0', '::', '10.1.2.3', 'robots.example', ''])('open to other machines at %j is refused', (host) => {
    const neither = `admin port: expected tokens or TLS where other machines reach it, got host "${host}" and neither. Set --tokens, or --tls-certificate and --tls-key; --admin-open lets everybody in`;
    const refused = host === '' ? 'server settings host' : neither;
    for (const processCount of [1, 2]) {
      expect(() => parseServerConfig({ host, adminPort: 0, processCount })).toThrow(refused);
    }
  });

  test('is taken where only this machine reaches it, callers are known, or somebody says so', () => {
    for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost', 'LOCALHOST']) {
      expect(parseServerConfig({ host, adminPort: 0 }).host).toBe(host);
    }
    const host = '0.0.0.0';
    for (const known of [{ tokensFile: 't' }, { tlsCertificateFile: 'c', tlsKeyFile: 'k' }, { adminOpen: true }]) {
      expect(parseServerConfig({ host, adminPort: 0, ...known })).toMatchObject(known);
    }
    expect(parseServerConfig({ host }).adminPort).toBe(null);
  });

  test("tells its health without a token, and its methods by reflection with an admin's", async () => {
    const store = await temporaryStore();
    const tokensFile = join(store, 'tokens.json');
    const entries = ['boss', 'user'].map((name) => ({ name, sha256: sha256(name), admin: name === 'boss' }));
    await writeFile(tokensFile, JSON.stringify(entries));
    const { server } = await startTestServer([], { store, tokensFile, adminPort: 0 });
    const peer = rawPeer(`127.0.0.1:${server.adminPort}`);
    const { check } = HealthService.method;
    for (const service of ['', 'hyperpolicy.v1.AdminService']) {
      const asked = toBinary(check.input, create(check.input, { service }));
      const answer = await peer.call('/grpc.health.v1.Health/Check', asked);
      expect(answer.status).toBe('OK');
      expect(fromBinary(check.output, (answer as { bytes: Buffer }).bytes).status).toBe(ServingStatus.SERVING);
    }
    const { input, output } = ServerReflection.method.serverReflectionInfo;
    const services = toBinary(input, create(input, { messageRequest: { case: 'listServices', value: '' } }));
    const reflect = (token: string) => {
      const stream = peer.open('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', undefined, token);
      stream.send(services);
      return stream.next();
    };
    const answer = (await reflect('boss')) as { bytes: Buffer };
    expect(fromBinary(output, answer.bytes).messageResponse.value).toMatchObject({
      service: [
        { name: 'hyperpolicy.v1.AdminService' },
        { name: 'grpc.health.v1.Health' },
        { name: 'grpc.reflection.v1.ServerReflection' },
      ],
    });
    expect(await reflect('user')).toMatchObject({ status: 'PERMISSION_DENIED' });
  });
});
