/** TD3 with SA-Hyper twins on the device: its updates are the CPU's, its rate, and its learning curve beside the CPU's. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createRandom } from '../../../src/contract/random.ts';
import type { Device } from '../../../src/onnx/providers.ts';
import { td3Defaults } from '../../../trainer/algorithms/td3/config.ts';
import { createTd3Learner } from '../../../trainer/algorithms/td3/learner.ts';
import { createTracedEngine } from '../../../trainer/engine/traced.ts';
import { createBatch } from '../../../trainer/replay/batch.ts';
import { type MetricRecord, readMetrics } from '../../../trainer/run/metrics.ts';
import { actionSize, observationSize } from '../serve-requests.ts';
import { difference, type Section } from './section.ts';
import { benchSpecs } from './specs.ts';

/** Updates that are compared: two passes of two. */
const comparedCount = 4;
/** Of Adam's first moment, which is linear in the gradients, in units of the largest. */
const momentTolerance = 1e-4;
/** The CPU's run is ended then; it is as long as it got. */
const limitMs = 160_000;

/** Steps a second of the whole loop on an NVIDIA H100. */
const rateTarget = { bound: 'least', value: 100, moonshot: 250 } as const;

type Sizes = { readonly steps: number; readonly every: number; readonly flags: readonly string[] };

const paper: Sizes = {
  steps: 3000,
  every: 500,
  flags: ['--updates-per-run', '100', '--eval-episodes', '3'],
};
const quick: Sizes = {
  steps: 320,
  every: 160,
  flags: ['--updates-per-run', '20', '--eval-episodes', '1', '--warm-up', '100', '--trunk', '16', '--batch-size', '16'],
};

export async function training({ device, isQuick, lines, scratch }: Section): Promise<void> {
  compareUpdates({ device, isQuick, lines });
  const sizes = isQuick ? quick : paper;
  const begin = performance.now();
  const onDevice = await train(device, join(scratch, 'device'), sizes);
  lines.figure('TD3, SA-Hyper twins, steps a second', rateOf(onDevice), {
    steps: onDevice.at(-1)?.step,
    target: device === 'cuda' && !isQuick ? rateTarget : undefined,
  });
  lines.note('learning curve', { device, curve: curveOf(onDevice), seconds: (performance.now() - begin) / 1000 });
  const isWhole = onDevice.at(-1)?.step === sizes.steps;
  lines.check('the training on the device came to its end', isWhole, { steps: sizes.steps });
  if (device === 'cpu') return;
  const onCpu = await train('cpu', join(scratch, 'cpu'), sizes);
  lines.note('learning curve', { device: 'cpu', curve: curveOf(onCpu), isWhole: onCpu.at(-1)?.step === sizes.steps });
  // Nothing was learnt yet, and actors act on the CPU.
  const [first, firstOnCpu] = [curveOf(onDevice)[0], curveOf(onCpu)[0]];
  lines.check('both curves begin with the same return', first?.[1] === firstOnCpu?.[1], { first, firstOnCpu });
}

/** The same batches and noise, in one run on each. */
function compareUpdates({ device, isQuick, lines }: Pick<Section, 'device' | 'isQuick' | 'lines'>): void {
  const critic = { architecture: 'sa-hyper', ...(isQuick && { trunkSizes: [16], dynamicHiddenSizes: [16] }) };
  const config = td3Defaults(critic);
  const [expected, actual] = (['cpu', device] as const).map((on) => {
    const engine = createTracedEngine({ threadCount: availableParallelism(), device: on });
    const learner = createTd3Learner({ config, specs: benchSpecs, engine, seed: 1, updatesPerRun: comparedCount });
    const random = createRandom(2);
    const batch = createBatch({ size: config.batchSize, observationSize, actionSize });
    for (let i = 0; i < comparedCount; i++) {
      for (const field of ['observation', 'action', 'reward', 'nextObservation'] as const) {
        random.fillNormal(batch[field]);
      }
      learner.learn(batch, random);
    }
    const moments = [learner.critic, learner.actor].map(({ adam }) => adam.moment1);
    learner.dispose();
    return moments;
  });
  for (const [i, network] of ['critic', 'actor'].entries()) {
    const scale = expected![i]!.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const most = difference(
      actual![i]!.map((value) => value / scale),
      expected![i]!.map((value) => value / scale),
    );
    lines.check(`updates as on the cpu, within ${momentTolerance}`, most <= momentTolerance && scale > 0, {
      network,
      difference: most,
    });
  }
}

/** Trains through the command line. @returns its records, up to where it came in its time */
async function train(device: Device, run: string, { steps, every, flags }: Sizes): Promise<MetricRecord[]> {
  const main = fileURLToPath(new URL('../../../clients/cli/main.js', import.meta.url));
  const args = ['--critic', 'sa-hyper', '--seed', '1', '--steps', `${steps}`, '--eval-every', `${every}`];
  const child = spawn(
    process.execPath,
    [main, 'train', 'td3', ...args, ...flags, '--device', device, '--publish', 'none', '--run', run],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  // A second interrupt ends it at once.
  const timers = [limitMs, limitMs + 10_000].map((ms) => setTimeout(() => child.kill('SIGINT'), ms));
  await once(child, 'exit');
  for (const timer of timers) clearTimeout(timer);
  return readMetrics(run);
}

/** Environment steps a second between the first and the last report of updates. */
function rateOf(records: readonly MetricRecord[]): number {
  const ofUpdates = records.filter((record) => 'criticLoss' in record);
  const [first, last] = [ofUpdates[0], ofUpdates.at(-1)];
  if (first === undefined || last === first) return Number.NaN;
  return (last!.step - first.step) / (last!.seconds - first.seconds);
}

/** [step, mean return] of each evaluation. */
const curveOf = (records: readonly MetricRecord[]): [number, number][] =>
  records.flatMap(({ step, evaluationReturn }) => (evaluationReturn === undefined ? [] : [[step, evaluationReturn]]));
