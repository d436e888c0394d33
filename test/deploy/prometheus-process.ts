/** Prometheus itself as a process, with the rules of deploy/prometheus. Needs Debian's `prometheus`. */

import { execFileSync, spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished, vi } from 'vitest';
import { freePort } from '../free-port.ts';
import { testWith } from '../requirements.ts';

export const rules = 'deploy/prometheus';

const hasPrometheus = (() => {
  try {
    execFileSync('promtool', ['--version'], { stdio: 'ignore' });
    execFileSync('prometheus', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();
export const prometheusTest = testWith(hasPrometheus, 'Prometheus and its promtool', 'apt-get install prometheus');

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'hyperpolicy-prometheus-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Labels and value of each series that a query finds. */
export type Samples = readonly { readonly metric: Readonly<Record<string, string>>; readonly value: number }[];

/**
 * Prometheus, once it is ready, with the same rules but windows of 5 s, no delays, and 5 s in place of half an hour.
 * @param targets addresses by job
 * @returns how to ask it
 */
export async function startPrometheus(
  targets: Readonly<Record<string, readonly string[]>>,
): Promise<(query: string) => Promise<Samples>> {
  const folder = await temporaryFolder();
  await cp(rules, folder, { recursive: true });
  for (const file of ['recording.yml', 'alerts.yml']) {
    const text = await readFile(join(rules, file), 'utf8');
    const quick = text
      .replace(/\[\d+m\]/g, '[5s]')
      .replace(/offset \d+m/g, 'offset 5s')
      .replace(/for: \d+m/g, 'for: 0s')
      .replace(/> 1800/g, '> 5');
    await writeFile(join(folder, file), quick);
  }
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['recording.yml', 'alerts.yml'],
    scrape_configs: Object.entries(targets).map(([job_name, addresses]) => ({
      job_name,
      static_configs: [{ targets: addresses }],
    })),
  };
  await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(config));
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
  const isReady = async () => (await fetch(`http://${address}/-/ready`)).status === 200;
  await vi.waitFor(async () => {
    if (!(await isReady())) throw new Error('Prometheus is not ready');
  }, 60_000);
  return async (query) => {
    const response = await fetch(`http://${address}/api/v1/query?query=${encodeURIComponent(query)}`);
    const { data } = (await response.json()) as {
      data: { result: { metric: Record<string, string>; value: [number, string] }[] };
    };
    return data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  };
}
