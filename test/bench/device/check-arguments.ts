/** The arguments of the device check. What does not fit ends the process with 2 and a text. */

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Device } from '../../../src/onnx/providers.ts';
import { sections } from './all-sections.ts';
import type { Curve, Section } from './section.ts';

const devices: readonly Device[] = ['cpu', 'webgpu', 'cuda'];

export type CheckArguments = Pick<Section, 'device' | 'isQuick' | 'cpuCurve'> & {
  /** Sections, in order; undefined for all. */
  readonly only: readonly string[] | undefined;
  readonly json: string | undefined;
  readonly deadlineSeconds: number;
};

export function readArguments(args: readonly string[]): CheckArguments {
  const values = given(args);
  const device = devices.find((name) => name === values.device);
  if (device === undefined) return refuse('--device', `one of ${devices.join(', ')}`, values.device);
  const only = values.only?.split(',');
  const unknown = only?.find((name) => sections[name] === undefined);
  if (unknown !== undefined) return refuse('--only', `one of ${Object.keys(sections).join(', ')}`, unknown);
  const deadlineSeconds = Number(values.deadline);
  if (!Number.isInteger(deadlineSeconds) || deadlineSeconds < 1 || deadlineSeconds > 1e6) {
    return refuse('--deadline', 'whole seconds from 1 to 1000000', values.deadline);
  }
  const cpuCurve = cpuCurveOf(values['cpu-curve'], values.quick);
  return { device, isQuick: values.quick, only, json: values.json, deadlineSeconds, cpuCurve };
}

function given(args: readonly string[]) {
  const options = {
    device: { type: 'string', default: 'cuda' },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    deadline: { type: 'string', default: '480' },
    'cpu-curve': { type: 'string', default: 'train' },
  } as const;
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    process.stderr.write(`check.sh: ${(error as Error).message}. See --help\n`);
    return process.exit(2);
  }
}

/** `train`, `none`, or the curve in a file that `--json` of another check wrote. */
function cpuCurveOf(value: string, isQuick: boolean): Section['cpuCurve'] {
  if (value === 'train' || value === 'none') return value;
  const sought = `train, none, or a file with the line of a learning curve on the cpu ${isQuick ? 'with' : 'without'} --quick`;
  let text: string;
  try {
    text = readFileSync(value, 'utf8');
  } catch (error) {
    return refuse('--cpu-curve', sought, `${value}: ${(error as Error).message}`);
  }
  for (const line of text.split('\n').filter((line) => line.startsWith('{"note":"learning curve","device":"cpu"'))) {
    const note = JSON.parse(line) as { isQuick: boolean; curve: Curve };
    if (note.isQuick === isQuick && note.curve.length > 0) return note.curve;
  }
  return refuse('--cpu-curve', sought, value);
}

function refuse(option: string, expected: string, actual: string): never {
  process.stderr.write(`check: ${option}: expected ${expected}, got "${actual}"\n`);
  return process.exit(2);
}
