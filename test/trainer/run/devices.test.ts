/** What a run says of its device. */

import { expect, test } from 'vitest';
import { isInstalled } from '../../../src/onnx/providers.ts';
import type { TakenDevice } from '../../../trainer/engine/engine.ts';
import { tellDevices } from '../../../trainer/run/devices.ts';
import { recordingLog } from '../../server/fixtures.ts';

/** What a person reads, and what the log has. */
function told(asked: Parameters<typeof tellDevices>[1], devices?: readonly TakenDevice[]) {
  const { log, lines } = recordingLog();
  const printed: string[] = [];
  tellDevices(devices === undefined ? {} : { devices }, asked, { log, print: (line) => printed.push(line) });
  return { printed, logged: lines.map(({ level, msg, devices: taken, reason }) => ({ level, msg, taken, reason })) };
}

const on = (device: TakenDevice['device'], ...skipped: TakenDevice['skipped']): TakenDevice => ({ device, skipped });
const line = (taken: readonly string[]) => ({ level: 30, msg: 'updates run on a device', taken });

test('the device goes to the log, and to who asked for one', () => {
  expect(told('cuda', [on('cuda')])).toEqual({ printed: ['device: cuda'], logged: [line(['cuda'])] });
  for (const asked of [undefined, 'cpu'] as const) {
    expect(told(asked, [on('cpu')])).toEqual({ printed: [], logged: [line(['cpu'])] });
  }
  // An engine that takes none.
  expect(told(undefined)).toEqual({ printed: [], logged: [] });
});

test('what auto left out is a warning with its reason', () => {
  const { printed, logged } = told('auto', [on('cuda'), on('cpu', { device: 'cuda', reason: 'no memory' })]);
  expect(logged).toEqual([
    { level: 40, msg: '--device auto leaves cuda out: updates run on cpu', reason: 'no memory' },
    line(['cuda', 'cpu']),
  ]);
  expect(printed[0]).toMatch(/^device: cuda and cpu/);
});

test('where the cpu was taken at once, it says why', () => {
  expect(told('cuda', []).printed).toEqual(['device: cpu, as no update is large enough for another']);
  const none = ', as no provider of cuda is installed';
  if (!isInstalled('cuda')) expect(told('auto', [on('cpu')]).printed).toEqual([`device: cpu${none}`]);
});
