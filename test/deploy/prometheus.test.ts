/** Rules, alerts and the dashboard against Prometheus itself, the real server and the metrics of a run. Needs Debian's `prometheus`. */

import { execFile, execFileSync, spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, vi } from 'vitest';
import { createPolicyClient } from '../../clients/typescript/index.ts';
import { openMetricsPort } from '../../trainer/seeing/metrics-port.ts';
import { freePort } from '../free-port.ts';
import { publishRandomPackage } from '../random-package.ts';
import { testWith } from '../requirements.ts';
import { startTestServer, temporaryStore } from '../server/fixtures.ts';

const run = promisify(execFile);
const rules = 'deploy/prometheus';
const hasPrometheus = (() => {
  try {
    execFileSync('promtool', ['--version'], { stdio: 'ignore' });
    execFileSync('prometheus', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();
const test = testWith(hasPrometheus, 'Prometheus and its promtool', 'apt-get install prometheus');

const small = {
  policy: 'hyper',
  critic: 'none',
  observationSize: 3,
  actionSize: 2,
  hiddenSize: 8,
  trunkSizes: [8],
} as const;
const asked = { model: 'm', observation: [0.1, 0.2, 0.3], context: [1, 2] };

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'hyperpolicy-prometheus-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The metrics of a server that has answered, and of a run. */
async function exposed(): Promise<{ readonly server: string; readonly training: string }> {
  const { server, client } = await startTestServer([{ model: 'm', ...small }]);
  await client.act(asked);
  const port = await openMetricsPort({ host: '127.0.0.1', port: 0 });
  onTestFinished(() => port.close());
  port.describe({ algorithm: 'td3' }, 1000);
  port.step(0);
  port.step(10);
  port.record({ step: 10, evaluationReturn: 1, criticLoss: 2 });
  port.checkpoint();
  const read = async (address: string) => (await fetch(`http://${address}/metrics`)).text();
  return { server: await read(`127.0.0.1:${server.metricsPort}`), training: await read(port.address) };
}

/** Every expression of the dashboard. */
async function dashboardQueries(): Promise<string[]> {
  const { stdout } = await run(process.execPath, ['deploy/grafana/dashboard.mjs']);
  const { panels } = JSON.parse(stdout) as { panels: { targets?: { expr: string }[] }[] };
  return panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr.replaceAll('$instance', '.*')));
}

test('configuration and rules are valid, and every alert fires under its fault and clears', {
  timeout: 60_000,
}, async () => {
  await run('promtool', ['check', 'config', `${rules}/prometheus.yml`]);
  await run('promtool', ['test', 'rules', 'tests.yml'], { cwd: rules });
  const { stdout: alerts } = await run('grep', ['-h', 'alert:', `${rules}/alerts.yml`]);
  const { stdout: tested } = await run('grep', ['-h', 'name:', `${rules}/tests.yml`]);
  const names = (text: string) => [...text.matchAll(/: (\w+)$/gm)].map(([, name]) => name);
  expect(names(tested)).toEqual(names(alerts));
});

test('metrics have the form that promtool asks for', { timeout: 60_000 }, async () => {
  for (const text of Object.values(await exposed())) {
    const check = spawn('promtool', ['check', 'metrics'], { stdio: ['pipe', 'pipe', 'pipe'] });
    let told = '';
    check.stdout.on('data', (piece) => (told += piece));
    check.stderr.on('data', (piece) => (told += piece));
    check.stdin.end(text);
    const code = await new Promise((resolve) => check.once('close', resolve));
    expect([code, told]).toEqual([0, '']);
  }
});

test('rules and dashboard ask for metrics that there are', { timeout: 60_000 }, async () => {
  const { server, training } = await exposed();
  const queries = await dashboardQueries();
  const folder = await temporaryFolder();
  const asRules = queries.map((expr, i) => ({ record: `dashboard:query_${i}`, expr }));
  await writeFile(join(folder, 'rules.yml'), JSON.stringify({ groups: [{ name: 'dashboard', rules: asRules }] }));
  await run('promtool', ['check', 'rules', join(folder, 'rules.yml')]);
  const { stdout: recording } = await run('cat', [`${rules}/recording.yml`, `${rules}/alerts.yml`]);
  const text = `${recording}\n${queries.join('\n')}`;
  const named = new Set([...text.matchAll(/\b(?:hyperpolicy_|grpc_server_|process_)\w+/g)].map(([name]) => name));
  const recorded = new Set([...recording.matchAll(/record: (\S+)/g)].map(([, name]) => name));
  const families = new Set([...`${server}\n${training}`.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  // Of several processes only.
  families.add('hyperpolicy_process_replacements_total');
  expect(named.size).toBeGreaterThan(20);
  const isThere = (name: string) => families.has(name) || families.has(name.replace(/_bucket$/, ''));
  expect([...named].filter((name) => !isThere(name))).toEqual([]);
  const asked = new Set([...text.matchAll(/\bhyperpolicy:[\w:]+/g)].map(([name]) => name));
  expect([...asked].filter((name) => !recorded.has(name))).toEqual([]);
});

test('Prometheus scrapes a server and a run; alerts come with their faults and go with them', {
  timeout: 240_000,
}, async () => {
  const store = await temporaryStore();
  const { server, address: serverAddress, client } = await startTestServer([], { store, connectionCountMax: 1 });
  const training = await openMetricsPort({ host: '127.0.0.1', port: 0 });
  onTestFinished(() => training.close());
  training.step(0);
  const folder = await temporaryFolder();
  await cp(rules, folder, { recursive: true });
  // The same rules with seconds in place of minutes.
  for (const file of ['recording.yml', 'alerts.yml']) {
    const text = await readFile(join(rules, file), 'utf8');
    const quick = text
      .replace(/\[\d+m\]/g, '[5s]')
      .replace(/offset \d+m/g, 'offset 5s')
      .replace(/for: \d+m/g, 'for: 0s');
    await writeFile(join(folder, file), quick);
  }
  const job = (name: string, target: string) => ({ job_name: name, static_configs: [{ targets: [target] }] });
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['recording.yml', 'alerts.yml'],
    scrape_configs: [
      job('hyperpolicy', `127.0.0.1:${server.metricsPort}`),
      job('hyperpolicy-training', training.address),
    ],
  };
  await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(config));
  const address = await startPrometheus(folder);
  const samples = async (query: string) => {
    const response = await fetch(`http://${address}/api/v1/query?query=${encodeURIComponent(query)}`);
    const { data } = (await response.json()) as {
      data: { result: { metric: Record<string, string>; value: [number, string] }[] };
    };
    return data.result.map(({ metric, value }) => [metric.job, value[1]]);
  };
  const eventually = (query: string, wanted: unknown) =>
    vi.waitFor(async () => expect((await samples(query)).sort()).toEqual(wanted), { timeout: 30_000, interval: 200 });
  await eventually('up', [
    ['hyperpolicy', '1'],
    ['hyperpolicy-training', '1'],
  ]);
  const alert = (name: string) => `ALERTS{alertname="Hyperpolicy${name}",alertstate="firing"}`;
  const [fires, clears] = [[['hyperpolicy', '1']], []];
  await eventually(alert('NoModel'), fires);
  await publishRandomPackage({ store, model: 'm', ...small });
  await server.models.refresh();
  await eventually(alert('NoModel'), clears);
  await client.act(asked);
  await eventually(alert('NearLimit'), fires);
  /** Makes a fault until its alert fires, and sees it clear. */
  const faulty = async (name: string, fault: () => Promise<unknown>) => {
    await vi.waitFor(
      async () => {
        await fault().catch(() => {});
        expect(await samples(alert(name))).toEqual(fires);
      },
      { timeout: 30_000, interval: 200 },
    );
    await eventually(alert(name), clears);
  };
  const late = { ...asked, budgetUs: 1, context: [5, 6] };
  await faulty('Late', () => client.act(late));
  await faulty('Fallbacks', () => client.act({ ...late, fallback: 'safe' }));
  await faulty('ConnectionsEnded', async () => {
    const other = createPolicyClient({ address: serverAddress, timeoutMs: 500 });
    await other.act(asked).finally(() => other.close());
  });
  client.close();
  await eventually(alert('NearLimit'), clears);
  const broken = await publishRandomPackage({ store, model: 'm', ...small, seed: 2 });
  await writeFile(join(broken.directory, 'policy.primary.onnx'), 'damaged');
  await server.models.refresh();
  // It fires for seconds only, which a look may miss.
  await eventually(`max_over_time(${alert('ModelRefused')}[10m])`, fires);
  await eventually(alert('ModelRefused'), clears);
  await server.stop();
  await eventually(alert('Down'), fires);
  await eventually('hyperpolicy_training_step', [['hyperpolicy-training', '0']]);
});

/** @returns its address, once it is ready */
async function startPrometheus(folder: string): Promise<string> {
  const address = `127.0.0.1:${await freePort()}`;
  const flags = [
    `--config.file=${folder}/prometheus.yml`,
    `--storage.tsdb.path=${folder}/data`,
    `--web.listen-address=${address}`,
  ];
  const prometheus = spawn('prometheus', flags, { stdio: 'ignore' });
  const exited = new Promise((resolve) => prometheus.once('close', resolve));
  onTestFinished(async () => {
    prometheus.kill();
    await exited;
  });
  await vi.waitFor(async () => expect((await fetch(`http://${address}/-/ready`)).status).toBe(200), 30_000);
  return address;
}
