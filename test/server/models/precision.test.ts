/** TF32 without a GPU: what it lets probes differ by, what a refusal on a device says, and where the precision of a version is named. */

import { expect, test } from 'vitest';
import { type ProbedNetworks, replayProbes } from '../../../server/models/probes.ts';
import type { ServedPolicy } from '../../../server/models/served-network.ts';
import type { ServedVersion } from '../../../server/models/served-version.ts';
import type { Probe } from '../../../src/package/manifest.ts';
import { metricLines, startTestServer } from '../fixtures.ts';

const probe: Probe = {
  target: 'policy',
  inputs: { observation: { shape: [1, 1], values: [0] } },
  outputs: { action: { shape: [1, 1], values: [1] } },
  tolerance: 1e-4,
};

/** Replays the probe where the policy answers `action`. */
function replay(
  action: number,
  on: Pick<ProbedNetworks, 'device' | 'precision'>,
  tolerance = probe.tolerance,
  outputs = probe.outputs,
) {
  const policy = { weights: undefined, fused: undefined, run: () => ({ action: Float32Array.of(action) }) };
  const served: ProbedNetworks = {
    ...{ model: 'ant', version: 3, observationSize: 1, actionSize: 1, contextSize: 0, critic: null, adaptation: null },
    ...on,
    policy: policy as unknown as ServedPolicy,
  };
  return replayProbes(served, [{ ...probe, tolerance, outputs }]);
}

const tf32 = { device: 'cuda', precision: 'tf32' } as const;
const float32 = { device: 'cuda', precision: 'float32' } as const;

test('in TF32 probes may differ by 5e-3, or by their own tolerance where that is more', async () => {
  // The expected action is 1, so a difference counts half: |1.008 - 1| / (1 + 1) = 4e-3.
  await replay(1.008, tf32);
  await expect(replay(1.012, tf32)).rejects.toThrow('expected 1 at 0 within 0.005, got 1.01');
  await replay(1.012, tf32, 0.01);
  // Half of 4e-4 is more than 1e-4.
  await replay(1.0004, tf32);
  await expect(replay(1.0004, float32)).rejects.toThrow('expected 1 at 0 within 0.0001, got 1.000');
});

test('actions in small units are compared on a smaller one', async () => {
  const small = { action: { shape: [1, 1], values: [5e-5] } };
  await replay(5.05e-5, float32, 1e-4, small);
  await expect(replay(-5e-5, float32, 1e-4, small)).rejects.toThrow(
    'expected 0.00005 at 0 within 0.0001, got -0.00004',
  );
});

test('a probe that a device fails says that its precision is a likely cause; of the cpu it does not', async () => {
  const where = (on: string) =>
    `ant version 3, policy probe${on} output "action": expected 1 at 0 within 0.0001, got 2. `;
  const likely =
    "It is not served there. A likely cause is the precision of the device's products; --device cpu has none of it";
  await expect(replay(2, float32)).rejects.toThrow(
    `${where(' on cuda')}${likely}, and NVIDIA_TF32_OVERRIDE must be 0 before the driver loads`,
  );
  await expect(replay(2, tf32)).rejects.toThrow(
    `policy probe on cuda output "action": expected 1 at 0 within 0.005, got 2. ${likely}, and --precision float32 less`,
  );
  await expect(replay(2, { device: 'webgpu', precision: 'float32' })).rejects.toMatchObject({
    kind: 'failed_precondition',
    message: `${where(' on webgpu')}${likely}`,
  });
  await expect(replay(2, { device: 'cpu', precision: 'float32' })).rejects.toMatchObject({
    message: `${where('')}The version is not served`,
  });
});

test('GetModel and the metrics name device and precision of a version; on the cpu it is float32 whatever was asked', async () => {
  const plain = { model: 'small', policy: 'plain', critic: 'none', observationSize: 3, actionSize: 2 } as const;
  expect(process.env.NVIDIA_TF32_OVERRIDE).toBe('0');
  const running = await startTestServer([plain], { device: 'cpu', precision: 'tf32' });
  // Before a device's libraries could read it: this server loads none.
  expect(process.env.NVIDIA_TF32_OVERRIDE).toBe('1');
  const { client, server } = running;
  const named = async () => {
    const { device, precision } = await client.getModel({ model: 'small' });
    return [device, precision, await metricLines(running, 'hyperpolicy_model_version_device{')];
  };
  const line = (device: string, precision: string) => [
    device,
    precision,
    {
      [`hyperpolicy_model_version_device{model="small",version="1",device="${device}",precision="${precision}"}`]: 1,
    },
  ];
  expect(await named()).toEqual(line('cpu', 'float32'));
  // As it is opened where there is a GPU: see loading.test.ts.
  const [version] = server.models.list()[0]!.versions as [ServedVersion];
  Object.assign(version, tf32);
  expect(await named()).toEqual(line('cuda', 'tf32'));
});
