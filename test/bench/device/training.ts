/** TD3 with SA-Hyper twins on the device: its updates are the CPU's, its rate, and its learning curve beside the CPU's. */

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Device } from '../../../src/onnx/providers.ts';
import { type MetricRecord, readMetrics } from '../../../trainer/run/metrics.ts';
import { objectOf, runToEnd } from '../serve-processes.ts';
import type { Curve, Section } from './section.ts';
import type { ComparedArrays, UpdatesLine } from './updates.ts';

/**
 * Of a tensor, in its own size. On a CPU, noise of 3e-7 in all parameters moves moments by 1e-6 and parameters by 2e-4: Adam's first steps go
 * as far whatever the gradient. Targets went a 200th as far, in few of float32's digits: 5e-3. On an NVIDIA H100 the worst gradient was 2e-4 off
 * in float32 and 0.17 in TF32.
 */
const tolerances: Readonly<Record<ComparedArrays, number>> = {
  moment1: 2e-3,
  moment2: 4e-3,
  parameters: 2e-2,
  target: 5e-2,
};
const updatesCheck = 'updates as on the cpu';
const updatesMs = 180_000;
/** A run beside others is ended then; it is as long as it got. */
const trainingMs = 160_000;
/** A run ends this long before the deadline, so that its lines are printed. */
const marginMs = 15_000;

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

export async function training(section: Section): Promise<void> {
  const { device, isQuick, lines, cpuCurve, later } = section;
  await compareUpdates(section);
  const sizes = isQuick ? quick : paper;
  const begin = performance.now();
  const { records, how } = await train(device, section);
  lines.figure('TD3, SA-Hyper twins, steps a second', rateOf(records), {
    steps: records.at(-1)?.step,
    target: device === 'cuda' && !isQuick ? rateTarget : undefined,
  });
  noteCurve(section, device, records, (performance.now() - begin) / 1000);
  const isWhole = records.at(-1)?.step === sizes.steps && how === 'exit code 0';
  lines.check('the training on the device came to its end', isWhole, { steps: sizes.steps, how });
  const curve = curveOf(records);
  if (typeof cpuCurve !== 'string') compareStarts(lines, curve, cpuCurve);
  else if (cpuCurve === 'train' && device !== 'cpu') {
    // It takes long, and the device is idle meanwhile.
    later('training on the cpu', async (last) => {
      const { records: onCpu, how } = await train('cpu', last);
      if (curveOf(onCpu).length === 0 && last.leftMs() <= marginMs) {
        lines.note('section left out', { name: 'training on the cpu', why: 'no time before the deadline', how });
        return;
      }
      noteCurve(last, 'cpu', onCpu);
      compareStarts(lines, curve, curveOf(onCpu));
    });
  }
}

function noteCurve({ isQuick, lines }: Section, device: Device, records: readonly MetricRecord[], seconds?: number) {
  const isWhole = records.at(-1)?.step === (isQuick ? quick : paper).steps;
  lines.note('learning curve', { device, isQuick, curve: curveOf(records), isWhole, seconds });
}

/** Nothing was learnt yet, and actors act on the CPU. A curve of a file has five digits. */
export function compareStarts(lines: Pick<Section['lines'], 'check'>, [first]: Curve, [firstOnCpu]: Curve): void {
  const isEqual = first !== undefined && first[1].toPrecision(5) === firstOnCpu?.[1].toPrecision(5);
  lines.check('both curves begin with the same return', isEqual, { first, firstOnCpu });
}

async function compareUpdates({ device, isQuick, lines, signal }: Section): Promise<void> {
  const script = fileURLToPath(new URL('./updates.js', import.meta.url));
  let isTold = false;
  const how = await runToEnd(process.execPath, [script, device, ...(isQuick ? ['--quick'] : [])], {
    signal,
    limitMs: updatesMs,
    onLine(text) {
      if (tellUpdates(lines, text) === 'error') isTold = true;
    },
  });
  if (how !== 'exit code 0' && !isTold) lines.check(updatesCheck, false, { why: how });
}

/** Checks what a line of `updates.ts` says. A native library may print too. */
export function tellUpdates(lines: Pick<Section['lines'], 'check' | 'note'>, text: string): 'error' | 'other' {
  const line = objectOf(text) as UpdatesLine | undefined;
  if (line === undefined) {
    lines.note('updates', { text });
    return 'other';
  }
  if ('error' in line) {
    lines.check(updatesCheck, false, { why: line.error });
    return 'error';
  }
  if ('isRepeatEqual' in line) {
    lines.note('updates again, from the same state', line);
    return 'other';
  }
  const within = tolerances[line.arrays];
  lines.check(updatesCheck, Number.isFinite(line.difference) && line.difference <= within, { ...line, within });
  return 'other';
}

/** Trains through the command line. @returns its records, up to where it came in its time, and how it ended */
async function train(device: Device, { isQuick, scratch, signal, leftMs, device: checked }: Section) {
  const { steps, every, flags } = isQuick ? quick : paper;
  const main = fileURLToPath(new URL('../../../clients/cli/main.js', import.meta.url));
  const run = join(scratch, 'run');
  const args = ['--critic', 'sa-hyper', '--seed', '1', '--steps', `${steps}`, '--eval-every', `${every}`];
  const left = leftMs() - marginMs;
  const how = await runToEnd(
    process.execPath,
    [main, 'train', 'td3', ...args, ...flags, '--device', device, '--publish', 'none', '--run', run],
    // On the CPU alone it is what the time is for.
    { signal, limitMs: Math.max(1, checked === 'cpu' ? left : Math.min(left, trainingMs)) },
  );
  return { records: readMetrics(run), how };
}

/** Environment steps a second between the first and the last report of updates. */
function rateOf(records: readonly MetricRecord[]): number {
  const ofUpdates = records.filter((record) => 'criticLoss' in record);
  const [first, last] = [ofUpdates[0], ofUpdates.at(-1)];
  if (first === undefined || last === first) return Number.NaN;
  return (last!.step - first.step) / (last!.seconds - first.seconds);
}

/** [step, mean return] of each evaluation. */
const curveOf = (records: readonly MetricRecord[]): Curve =>
  records.flatMap(({ step, evaluationReturn }) =>
    evaluationReturn === undefined ? [] : [[step, evaluationReturn] as const],
  );
