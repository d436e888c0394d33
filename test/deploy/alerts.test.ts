/** Every alert against a real Prometheus, real servers and a real run: it fires under its fault, and clears when the fault has gone. */

import { execFileSync, spawn } from 'node:child_process';
import { cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect, onTestFinished, vi } from 'vitest';
import { createPolicyClient, type PolicyClient } from '../../clients/typescript/index.ts';
import { ModelProtoSchema, NodeProtoSchema, TensorProtoSchema } from '../../src/gen/onnx/onnx_pb.ts';
import { changeGraph, withSlowRuns } from '../endless-graph.ts';
import { freePort } from '../free-port.ts';
import { startCollector } from '../server/collector.ts';
import { temporaryStore } from '../server/fixtures.ts';
import { type SpawnedServer, spawnServer } from '../server/spawn.ts';
import { installBrokenProvider, knowsCuda } from './broken-provider.ts';
import { rules, startPrometheus, temporaryFolder, prometheusTest as test } from './prometheus-process.ts';

const sizes = { critic: 'none', observationSize: 3, actionSize: 2, hiddenSize: 8 } as const;
const hyper = { ...sizes, policy: 'hyper', trunkSizes: [8], contextSize: 2 } as const;
const adapting = { ...hyper, policy: 'plain', encoder: true, stochastic: true } as const;
const plain = { ...sizes, policy: 'plain' } as const;
const asked = { model: 'm', observation: [0.1, 0.2, 0.3], context: [1, 2] };

/** Alerts whose fault cannot be made here; deploy/prometheus/tests.yml has them all. */
const unseen: readonly string[] = knowsCuda ? [] : ['HyperpolicyDeviceFallback'];

const local = (port: number | undefined) => `127.0.0.1:${port}`;
/** Longer than a busy machine takes for anything. */
const patience = { timeout: 240_000, interval: 300 };

/** Who asks Prometheus, and which alerts were seen. */
function watcher(samples: Awaited<ReturnType<typeof startPrometheus>>) {
  const seen: string[] = [];
  const count = async (query: string) => (await samples(query)).length;
  const alert = (name: string) => `ALERTS{alertname="Hyperpolicy${name}",alertstate="firing"}`;
  /** It may fire for some seconds only, which a look may miss. */
  const fired = (name: string) => count(`max_over_time(${alert(name)}[30m])`);
  return {
    seen,
    count,
    /** Has fired: makes the fault again and again until then. */
    async fires(name: string, fault: () => Promise<unknown> = async () => {}): Promise<void> {
      await vi.waitFor(async () => {
        await fault().catch(() => {});
        expect(await fired(name), `${name} fires`).toBeGreaterThan(0);
      }, patience);
    },
    async clears(name: string): Promise<void> {
      await vi.waitFor(async () => expect(await count(alert(name)), `${name} clears`).toBe(0), patience);
      seen.push(`Hyperpolicy${name}`);
    },
  };
}
type Watcher = ReturnType<typeof watcher>;

/** Faults of requests, connections and models, at a server that starts with an empty store. */
async function requestFaults(
  watch: Watcher,
  server: SpawnedServer,
  { store, otherStore, tracePort }: { readonly store: string; readonly otherStore: string; readonly tracePort: number },
): Promise<void> {
  const clientOf = (timeoutMs: number) => createPolicyClient({ address: server.address, timeoutMs });
  const client = clientOf(60_000);
  onTestFinished(() => client.close());
  const ask = (request: object) => client.act({ ...asked, ...request });
  const faulty = async (name: string, fault: () => Promise<unknown>) => {
    await watch.fires(name, fault);
    await watch.clears(name);
  };
  await watch.fires('NoModel');
  await watch.fires('Refuses', () => ask({}));
  await publishModels(store);
  await watch.clears('NoModel');
  await watch.clears('Refuses');
  await vi.waitFor(() => ask({}), patience);
  const one = { model: 'slow', context: undefined };
  await Promise.all([
    watch.fires('NearLimit'),
    // More than the two that there may be.
    faulty('HandlesEvicted', () => client.adapt({ model: 'adapting' })),
    faulty('Late', () => ask({ budgetUs: 1, context: [5, 6] })),
    faulty('Fallbacks', () => ask({ budgetUs: 1, context: [5, 6], fallback: 'safe' })),
    // 400 products of 512 x 512 for each whole one of the largest value.
    faulty('Slow', () => ask({ ...one, observation: [30, 0, 0] })),
    faulty('Faults', () => ask({ model: 'no-number', context: undefined, observation: [11, 0, 0] })),
    faulty('ConnectionsEnded', async () => {
      const other = clientOf(500);
      await other.act(asked).finally(() => other.close());
    }),
    modelRefused(watch, store),
    versionFaults(watch, otherStore, store),
    spansLost(watch, client, tracePort),
  ]);
  await faulty('RunDidNotEnd', () => ask({ ...one, observation: [1e6, 0, 0] }));
  client.close();
  await watch.clears('NearLimit');
}

/** All at once, as a publication does. */
async function publishModels(store: string): Promise<void> {
  const aside = await temporaryStore([
    { model: 'm', ...hyper },
    { model: 'slow', ...plain },
    { model: 'no-number', ...plain },
    { model: 'adapting', ...adapting },
  ]);
  await changeGraph(join(aside, 'slow', '1'), 'policy.onnx', (model) => withSlowRuns(model, 'observation'));
  await changeGraph(join(aside, 'no-number', '1'), 'policy.onnx', withRoots);
  for (const model of ['slow', 'no-number', 'adapting', 'm']) await rename(join(aside, model), join(store, model));
}

/** The model, with 0 x sqrt(10 - observation) added to the observation. */
function withRoots(model: Uint8Array): Uint8Array {
  const proto = fromBinary(ModelProtoSchema, model);
  const { node, initializer } = proto.graph!;
  const value = (name: string, number: number) =>
    create(TensorProtoSchema, { name, dims: [], dataType: 1, rawData: new Uint8Array(Float32Array.of(number).buffer) });
  initializer.push(value('ten', 10), value('nothing', 0));
  for (const one of node) one.input = one.input.map((name) => (name === 'observation' ? 'same' : name));
  const add = (opType: string, input: string[], output: string) =>
    create(NodeProtoSchema, { opType, input, output: [output] });
  node.unshift(
    add('Sub', ['ten', 'observation'], 'left'),
    add('Sqrt', ['left'], 'root'),
    add('Mul', ['root', 'nothing'], 'zero'),
    add('Add', ['observation', 'zero'], 'same'),
  );
  return toBinary(ModelProtoSchema, proto);
}

async function modelRefused(watch: Watcher, store: string): Promise<void> {
  const aside = await temporaryStore([{ model: 'm', ...hyper, seed: 2 }]);
  await writeFile(join(aside, 'm', '1', 'policy.primary.onnx'), 'damaged');
  await rename(join(aside, 'm', '1'), join(store, 'm', '2'));
  await watch.fires('ModelRefused');
  await watch.clears('ModelRefused');
}

/** A model that is old at both servers, then at one of them, then at none. */
async function versionFaults(watch: Watcher, first: string, second: string): Promise<void> {
  const aside = await temporaryStore([
    { model: 'aged', ...plain },
    { model: 'aged', ...plain, seed: 2 },
  ]);
  const path = join(aside, 'aged', '1', 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8')) as { training: object };
  const publishedAt = new Date(Date.now() - 40 * 86_400_000).toISOString();
  await writeFile(path, JSON.stringify({ ...manifest, training: { ...manifest.training, publishedAt } }));
  const publish = async (store: string, version: string) => {
    const hidden = join(store, `.aged-${version}`);
    await cp(join(aside, 'aged', version), hidden, { recursive: true });
    await mkdir(join(store, 'aged'), { recursive: true });
    await rename(hidden, join(store, 'aged', version));
  };
  await Promise.all([publish(first, '1'), publish(second, '1')]);
  await watch.fires('StalePolicy');
  await publish(first, '2');
  await watch.fires('VersionSkew');
  await watch.clears('StalePolicy');
  await publish(second, '2');
  await watch.clears('VersionSkew');
}

/** Nobody listens at the endpoint, until somebody does. */
async function spansLost(watch: Watcher, client: PolicyClient, port: number): Promise<void> {
  await watch.fires('SpansLost', () => client.act(asked));
  await startCollector(undefined, port);
  await watch.clears('SpansLost');
}

/** A certificate that has ended, then one that ends soon, then one that holds. */
async function certificateFaults(watch: Watcher, folder: string): Promise<void> {
  await watch.fires('CertificateEnded');
  await makeCertificate(folder, 2);
  await watch.clears('CertificateEnded');
  await watch.fires('CertificateEnds');
  await makeCertificate(folder, 60);
  await watch.clears('CertificateEnds');
}

/** Replaces it and its key. @param days 0: it has ended at once */
async function makeCertificate(folder: string, days: number): Promise<void> {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', 'new.key'];
  openssl('req', '-new', ...key, '-out', 'new.csr', '-subj', '/CN=localhost');
  openssl('x509', '-req', '-in', 'new.csr', '-signkey', 'new.key', '-days', `${days}`, '-out', 'new.pem');
  await rename(join(folder, 'new.key'), join(folder, 'server.key'));
  await rename(join(folder, 'new.pem'), join(folder, 'server.pem'));
}

async function accessFaults(watch: Watcher, server: SpawnedServer, folder: string): Promise<void> {
  const knock = () =>
    new Promise((resolve) => {
      const socket = connect(Number(server.address.split(':').at(-1)), '127.0.0.1', () =>
        socket.end('GET / HTTP/1.1\n\n'),
      );
      socket.on('error', resolve).on('close', resolve);
    });
  const handshakes = async () => {
    await watch.fires('HandshakesFail', knock);
    await watch.clears('HandshakesFail');
  };
  let fault = 0;
  const refuse = () => writeFile(join(folder, 'tokens.json'), `damaged ${fault++}`);
  const reloads = async () => {
    await watch.fires('ReloadRefused', refuse);
    await watch.clears('ReloadRefused');
  };
  await Promise.all([handshakes(), reloads(), certificateFaults(watch, folder)]);
  // What reads the log leaves, and there are lines.
  server.child.stdout!.destroy();
  await watch.fires('LogLinesLost', refuse);
  await watch.clears('LogLinesLost');
}

/** Faults of processes, at a server that is not there at first. */
async function processFaults(watch: Watcher, start: () => Promise<SpawnedServer>): Promise<void> {
  await watch.fires('Down');
  const server = await start();
  await watch.clears('Down');
  const member = () => server.lines.findLast(({ msg, process }) => msg === 'process serving' && process === 1)!.pid;
  const first = member();
  process.kill(first, 'SIGKILL');
  await watch.fires('ProcessReplaced');
  await watch.clears('ProcessReplaced');
  await vi.waitFor(() => expect(member()).not.toBe(first), patience);
  // As a machine that has no core for it.
  await watch.fires('EventLoopLate', async () => {
    process.kill(member(), 'SIGSTOP');
    await after(400);
    process.kill(member(), 'SIGCONT');
    await after(100);
  });
  await watch.clears('EventLoopLate');
}

/** A device that refuses the model of a server. */
async function deviceFaults(watch: Watcher, store: string, port: number): Promise<void> {
  if (!knowsCuda) return;
  const command = installBrokenProvider(await temporaryFolder());
  await spawnServer(['--store', store, '--device', 'auto', '--metrics-port', `${port}`], command);
  await watch.fires('DeviceFallback');
  await watch.clears('DeviceFallback');
}

/** Faults of a run, which dies at first. */
async function trainingFaults(watch: Watcher, port: number): Promise<void> {
  const folder = await temporaryFolder();
  const stall = join(folder, 'stall');
  // No updates: it acts at random all the time.
  const loop = {
    stepCount: 1e6,
    warmUpStepCount: 1e6,
    replayCapacity: 1000,
    checkpointInterval: 50,
    evaluationInterval: 1e6,
  };
  await writeFile(join(folder, 'config.json'), JSON.stringify({ loop }));
  const args = ['--env', resolve('test/envs/files/stalls.js'), '--config', join(folder, 'config.json')];
  const start = (name: string) => {
    const places = ['--run', join(folder, name), '--store', join(folder, 'store'), '--model', 'cart'];
    const flags = [...args, ...places, '--critic', 'mlp-small', '--metrics-port', `${port}`];
    const run = spawn(process.execPath, [resolve('dist/clients/cli/main.js'), 'train', 'td3', ...flags], {
      env: { ...process.env, STALL: stall },
      stdio: 'ignore',
    });
    onTestFinished(() => void run.kill('SIGKILL'));
    return run;
  };
  const first = start('first');
  await vi.waitFor(async () => expect(await watch.count('up{job="hyperpolicy-training"} == 1')).toBe(1), patience);
  first.kill('SIGKILL');
  await watch.fires('TrainingDown');
  start('second');
  await watch.clears('TrainingDown');
  await writeFile(stall, '');
  await Promise.all([watch.fires('TrainingStuck'), watch.fires('TrainingUnsaved')]);
  await rm(stall);
  await Promise.all([watch.clears('TrainingStuck'), watch.clears('TrainingUnsaved')]);
}

test('every alert fires under its fault and clears when that has gone', { timeout: 600_000 }, async () => {
  const [store, served, folder] = [
    await temporaryStore(),
    // Of another name than at the other server, whose version is younger.
    await temporaryStore([{ model: 'n', ...hyper }]),
    await temporaryFolder(),
  ];
  const [tracePort, laterPort, devicePort, trainingPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  await makeCertificate(folder, 0);
  await writeFile(join(folder, 'tokens.json'), '[]');
  const tls = ['--tls-certificate', join(folder, 'server.pem'), '--tls-key', join(folder, 'server.key')];
  const [requests, access] = await Promise.all([
    spawnServer([
      ...['--store', store, '--workers', '2', '--watch-ms', '200', '--max-run-ms', '3000', '--max-connections', '1'],
      ...['--max-handles', '2', '--trace-endpoint', `http://127.0.0.1:${tracePort}/v1/traces`],
    ]),
    spawnServer(['--store', served, ...tls, '--tokens', join(folder, 'tokens.json')]),
  ]);
  const ports = [requests.serving.metricsPort, access.serving.metricsPort, laterPort];
  const samples = await startPrometheus({
    hyperpolicy: ports.map(local),
    ...(knowsCuda && { device: [local(devicePort)] }),
    'hyperpolicy-training': [local(trainingPort)],
  });
  const watch = watcher(samples);
  const startLater = () => spawnServer(['--store', served, '--processes', '2', '--metrics-port', `${laterPort}`]);
  await Promise.all([
    requestFaults(watch, requests, { store, otherStore: served, tracePort }),
    accessFaults(watch, access, folder),
    processFaults(watch, startLater),
    deviceFaults(watch, served, devicePort),
    trainingFaults(watch, trainingPort),
  ]);
  await watch.clears('NearLimit');
  const alerts = [...(await readFile(`${rules}/alerts.yml`, 'utf8')).matchAll(/- alert: (\w+)/g)].map(
    ([, name]) => name!,
  );
  expect(new Set([...watch.seen, ...unseen])).toEqual(new Set(alerts));
});
