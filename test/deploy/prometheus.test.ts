/** Rules, alerts and the dashboard against Prometheus' own checks and the metrics of a server and a run. Needs Debian's `prometheus`. */

import { execFile, spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { openMetricsPort } from '../../trainer/seeing/metrics-port.ts';
import { rawPeer } from '../compliance/raw-call.ts';
import { metricLines, startTestServer } from '../server/fixtures.ts';
import { rules, temporaryFolder, prometheusTest as test } from './prometheus-process.ts';

const run = promisify(execFile);
const small = {
  policy: 'hyper',
  critic: 'none',
  observationSize: 3,
  actionSize: 2,
  hiddenSize: 8,
  trunkSizes: [8],
} as const;
const asked = { model: 'm', observation: [0.1, 0.2, 0.3], context: [1, 2] };

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

test('the servers that the balancer asks are scraped as servers, and no run', async () => {
  const { scrape_configs } = parse(await readFile(`${rules}/prometheus.yml`, 'utf8')) as {
    scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
  };
  const balancer = await readFile('deploy/balancer/haproxy.cfg', 'utf8');
  const asked = [...balancer.matchAll(/server \w+ ([\d.]+):.* port (\d+)/g)].map(([, host, port]) => `${host}:${port}`);
  const targets = Object.fromEntries(
    scrape_configs.map(({ job_name, static_configs }) => [job_name, static_configs.flatMap((one) => one.targets)]),
  );
  expect(asked).toHaveLength(2);
  expect(targets.hyperpolicy).toEqual(asked);
  expect(targets['hyperpolicy-training']!.filter((target) => asked.includes(target))).toEqual([]);
});

test('whatever a client asks for, the rule counts it once', { timeout: 60_000 }, async () => {
  const started = await startTestServer([{ model: 'm', ...small }], { httpPort: 0 });
  const { server, client, address } = started;
  await client.act(asked);
  await client.act({ ...asked, model: 'nope' }).catch(() => {});
  const stream = client.actStream({ model: 'm' });
  await stream.act({ observation: asked.observation, context: asked.context });
  await stream.close();
  const service = '/hyperpolicy.v1.PolicyService';
  for (const path of [`${service}/Nope`, '/a']) await fetch(`http://127.0.0.1:${server.httpPort}${path}`);
  const peer = rawPeer(address);
  for (const path of [`${service}/Nope`, '/a/b']) await peer.call(path, Buffer.alloc(0));
  const unreadable = peer.open(`${service}/ActStream`);
  unreadable.send(Buffer.from('no message'));
  expect(await unreadable.next()).toMatchObject({ status: 'INVALID_ARGUMENT' });
  const series = await metricLines(started, 'hyperpolicy_requests_total');
  Object.assign(series, await metricLines(started, 'grpc_server_handled_total'));
  // Each count comes again every minute.
  const input_series = Object.entries(series).map(([name, count]) => ({
    series: name.replace('{', '{job="hyperpolicy",'),
    values: `0+${count}x10`,
  }));
  const counted = { OK: 2, NotFound: 1, Unimplemented: 4, InvalidArgument: 1 };
  const exp_samples = Object.entries(counted).map(([code, value]) => ({ labels: `{grpc_code="${code}"}`, value }));
  const expr = 'round(sum by (grpc_code) (hyperpolicy:requests_by_code:rate5m) * 60) > 0';
  const promql_expr_test = [{ expr, eval_time: '10m', exp_samples }];
  const test = { interval: '1m', input_series, promql_expr_test };
  const folder = await temporaryFolder();
  const rule_files = [resolve(rules, 'recording.yml')];
  await writeFile(join(folder, 'tests.yml'), JSON.stringify({ rule_files, evaluation_interval: '1m', tests: [test] }));
  await run('promtool', ['test', 'rules', join(folder, 'tests.yml')]);
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
