/** Rules, alerts and the dashboard against Prometheus' own checks and the metrics of a server and a run. Needs Debian's `prometheus`. */

import { execFile, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished } from 'vitest';
import { openMetricsPort } from '../../trainer/seeing/metrics-port.ts';
import { startTestServer } from '../server/fixtures.ts';
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
