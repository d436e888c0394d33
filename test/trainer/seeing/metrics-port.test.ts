/** The metrics of a run over HTTP, as Prometheus asks for them. */

import { spawnSync } from 'node:child_process';
import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { openMetricsPort } from '../../../trainer/seeing/metrics-port.ts';

async function open() {
  const port = await openMetricsPort({ host: '127.0.0.1', port: 0 });
  onTestFinished(() => port.close());
  const get = async (path: string) => {
    const response = await fetch(`http://${port.address}${path}`);
    return { status: response.status, text: await response.text() };
  };
  return { port, get };
}

test('shows the newest metrics, the steps done here, and whose they are', async () => {
  const { port, get } = await open();
  port.describe({ algorithm: 'td3', environment: 'Ant-v5', seed: '3', run: 'runs/"a"' }, 5000);
  port.begin(1000);
  port.step(1100);
  port.step(1250);
  port.record({ step: 1100, seconds: 2, criticLoss: 0.5 });
  port.record({ step: 1200, seconds: 3, criticLoss: 0.25 });
  port.checkpoint();
  const { status, text } = await get('/metrics');
  expect(status).toBe(200);
  expect(text).toContain(
    'hyperpolicy_training_info{algorithm="td3",environment="Ant-v5",seed="3",run="runs/\\"a\\""} 1',
  );
  expect(text).toContain('hyperpolicy_training_planned_steps 5000\n');
  // Resumed at 1000: 250 were done here.
  expect(text).toContain('hyperpolicy_training_steps_total 250\n');
  expect(text).toContain('hyperpolicy_training_step 1250\n');
  expect(text).toContain('hyperpolicy_training_critic_loss 0.25\n');
  expect(text).toContain('hyperpolicy_training_seconds 3\n');
  const written = /hyperpolicy_training_last_checkpoint_timestamp_seconds ([\d.]+)/.exec(text)?.[1];
  expect(Math.abs(Number(written) - Date.now() / 1000)).toBeLessThan(600);
  expect((await get('/other')).status).toBe(404);
});

test('passes the check of promtool, where that is installed', async () => {
  const { port, get } = await open();
  port.describe({ algorithm: 'td3', environment: 'Ant-v5', seed: '3', run: 'a' }, 5000);
  port.step(1);
  port.record({ step: 1, seconds: 2, criticLoss: 0.5, samplingSeconds: 1, evaluationReturn: 3, kl: 0.1 });
  port.checkpoint();
  const { text } = await get('/metrics');
  // Every family has its help and its type, whoever checks it.
  const families = [...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]!);
  expect(families).toContain('hyperpolicy_training_sampling_seconds');
  for (const family of families) expect(text).toContain(`# HELP ${family} `);
  const checked = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  if (checked.error === undefined) {
    const ours = `${checked.stdout}${checked.stderr}`.split('\n').filter((line) => line.startsWith('hyperpolicy'));
    expect(ours).toEqual([]);
  }
});

test('a request that names another host, as a page that resolves its name to here does, is refused', async () => {
  const { port } = await open();
  const answerTo = (name: string) =>
    new Promise<readonly [number, string]>((resolve, reject) => {
      const request = get(`http://${port.address}/metrics`, { headers: { host: name } }, async (response) => {
        resolve([response.statusCode!, await text(response)]);
      });
      request.on('error', reject);
    });
  expect(await answerTo('evil.example:9464')).toEqual([
    421,
    'host: expected an address or a known name, got "evil.example". Ask by the address, or bind to that name with --metrics-host\n',
  ]);
  expect((await answerTo('localhost'))[0]).toBe(200);
});

test('a port that is taken is refused by name', async () => {
  const { port } = await open();
  const taken = Number(port.address.split(':')[1]);
  await expect(openMetricsPort({ host: '127.0.0.1', port: taken })).rejects.toMatchObject({
    kind: 'failed_precondition',
    message: `--metrics-port ${taken}: expected a port that is free at 127.0.0.1, got one that is in use. Choose another; 0 takes any that is free`,
  });
});
