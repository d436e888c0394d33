/** The parts of the device check that need no device. test/deploy/cuda.test.ts runs it as a command. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { readArguments } from './device/check-arguments.ts';
import { fusedRows } from './device/latencies.ts';
import { opened, openingOf } from './device/opening.ts';
import { placementOf } from './device/profiles.ts';
import { createLogReader } from './device/server.ts';
import { farthestTensor } from './device/tensors.ts';
import { compareStarts, tellUpdates } from './device/training.ts';
import { runToEnd, servingPorts, startChild } from './serve-processes.ts';

test('what a server warns of is a note; the last refusal of a model can be asked', () => {
  const note = vi.fn();
  const log = createLogReader('cuda', { note });
  const refused = (reason: string) =>
    JSON.stringify({ level: 50, time: 1, pid: 2, hostname: 'h', model: 'm', reason, msg: 'model version refused' });
  log.read('{"level":30,"msg":"serving"}');
  log.read(refused('first'));
  log.read(refused('second'));
  log.read('of a library');
  expect(note.mock.calls).toEqual([
    ['server', { device: 'cuda', level: 'error', model: 'm', reason: 'first', msg: 'model version refused' }],
    ['server', { device: 'cuda', level: 'error', model: 'm', reason: 'second', msg: 'model version refused' }],
    ['server', { device: 'cuda', text: 'of a library' }],
  ]);
  expect([log.refusal('m'), log.refusal('other')]).toEqual(['second', undefined]);
  for (let i = 0; i < 20; i++) log.read('{"level":40,"msg":"again"}');
  log.end();
  expect(note).toHaveBeenCalledTimes(21);
  expect(note).toHaveBeenLastCalledWith('further lines of the server are left out', { device: 'cuda', count: 3 });
});

test('rows that ran fused are those of the work, not those of probes before it', async () => {
  const rows = { critic: 40, policy: 60 };
  const metric = async (sample: string) => rows[/graph="(critic|policy)\.fused"/.exec(sample)![1] as 'critic'];
  const counted = await fusedRows({ metric }, async () => {
    rows.critic += 7;
  });
  expect(counted).toEqual({ 'critic.fused': 7, 'policy.fused': 0 });
});

test('where a server listens is read once, past what is no JSON, and what a kill cuts later does no harm', async () => {
  const cut = '{"level":40,"ms';
  const script = `echo '{ of a driver'; echo '{"msg":"serving","address":"h:7","metricsPort":8}'; printf '${cut}'`;
  const read = vi.fn(servingPorts);
  const said: string[] = [];
  let end = () => {};
  const isCut = new Promise<void>((resolve) => {
    end = resolve;
  });
  const onLine = (line: string) => {
    said.push(line);
    if (line === cut) end();
  };
  const child = await startChild('sh', ['-c', script], read, { onLine });
  await isCut;
  await child.stop();
  expect(child).toMatchObject({ port: 7, metricsPort: 8 });
  expect([said.length, read.mock.calls.length]).toEqual([3, 2]);
});

test('of updates, an error and a difference are checks; what is no JSON is a note', () => {
  const [check, note] = [vi.fn(), vi.fn()];
  const name = 'updates as on the cpu';
  const tell = (text: string) => tellUpdates({ check, note }, text);
  expect(tell('{"network":"critic","arrays":"moment1","tensor":"q0","difference":1e-3}')).toBe('other');
  expect(tell('{"network":"actor","arrays":"moment1","tensor":"layer0","difference":3e-3}')).toBe('other');
  expect(tell('{"network":"actor","arrays":"parameters","tensor":"layer0","difference":null}')).toBe('other');
  expect(tell('{"isRepeatEqual":false}')).toBe('other');
  expect(tell('{ of a driver')).toBe('other');
  expect(tell('{"error":"no device"}')).toBe('error');
  expect(check.mock.calls).toEqual([
    [name, true, { network: 'critic', arrays: 'moment1', tensor: 'q0', difference: 1e-3, within: 2e-3 }],
    [name, false, { network: 'actor', arrays: 'moment1', tensor: 'layer0', difference: 3e-3, within: 2e-3 }],
    [name, false, { network: 'actor', arrays: 'parameters', tensor: 'layer0', difference: null, within: 2e-2 }],
    [name, false, { why: 'no device' }],
  ]);
  expect(note.mock.calls).toEqual([
    ['updates again, from the same state', { isRepeatEqual: false }],
    ['updates', { text: '{ of a driver' }],
  ]);
});

test('a device where a graph ran is open, however its process ends', () => {
  const fact = '{"productError":6e-8}';
  expect(openingOf([opened, fact], 'exit code 0', 2)).toEqual({ isOpen: true, seconds: 2, productError: 6e-8 });
  expect(openingOf([opened, fact, 'driver shutting down'], 'SIGABRT', 2)).toEqual({
    ...{ isOpen: true, seconds: 2, productError: 6e-8 },
    how: 'driver shutting down; SIGABRT',
  });
  expect(openingOf(['no driver'], 'exit code 1', 2)).toEqual({
    isOpen: false,
    seconds: 2,
    why: 'no driver; exit code 1',
  });
  expect(openingOf([], 'SIGINT', 150)).toMatchObject({ isOpen: false, why: 'SIGINT; no end within 150 s' });
});

test('what a device tells of itself is told on the cpu, too', async () => {
  const said: string[] = [];
  const onLine = (line: string) => said.push(line);
  const script = join(process.cwd(), 'dist/test/bench/device/opens.js');
  const how = await runToEnd(process.execPath, [script, 'cpu'], { limitMs: 60_000, onLine });
  const { isOpen, productError, largestError } = openingOf(said, how, 1);
  expect([how, isOpen, largestError]).toEqual(['exit code 0', true, 0]);
  // TF32 would be 5e-4 off.
  expect(productError).toBeLessThan(1e-6);
});

test('a profile tells what ran where; of one that was cut, what is there', () => {
  const event = (op: string, provider: string, dur: number) =>
    JSON.stringify({ cat: 'Node', dur, name: `${op}_1_kernel_time`, args: { op_name: op, provider } });
  const [cuda, cpu] = ['CUDAExecutionProvider', 'CPUExecutionProvider'];
  const lines = [
    '{"cat":"Session","dur":9,"name":"model_run","args":{}}',
    event('MatMul', cuda, 400),
    event('MatMul', cuda, 2),
    event('MatMul', cuda, 3),
    event('MemcpyToHost', cuda, 10),
    event('MemcpyToHost', cuda, 8),
    event('Atanh', cpu, 1),
    event('Loop', cuda, 5000),
  ];
  expect(placementOf(`[\n${lines.join(',\n')},\n{"cat" : "No`)).toEqual({
    onDevice: 4,
    onCpu: { Atanh: 1 },
    copies: { MemcpyToHost: 2 },
    longest: [
      { op: 'MemcpyToHost', on: 'CUDA', count: 2, ms: expect.closeTo(0.018, 9), mostMs: 0.01 },
      { op: 'MatMul', on: 'CUDA', count: 3, ms: expect.closeTo(0.405, 9), mostMs: 0.4 },
      { op: 'Atanh', on: 'CPU', count: 1, ms: 0.001, mostMs: 0.001 },
    ],
  });
});

test('a small tensor that is wrong is the farthest, whatever the others are', () => {
  const expected = { large: Float32Array.of(1000, -2000), small: Float32Array.of(1e-6, -2e-6) };
  const near = { large: Float32Array.of(1000.01, -2000), small: expected.small };
  expect(farthestTensor(near, expected)).toEqual({ tensor: 'large', difference: expect.closeTo(4.5e-6, 6) });
  const turned = { ...near, small: expected.small.map((value) => -value) };
  expect(farthestTensor(turned, expected)).toEqual({ tensor: 'small', difference: 2 });
  expect(farthestTensor({ ...turned, large: Float32Array.of(Number.NaN, 0) }, expected)).toEqual({
    tensor: 'large',
    difference: Number.NaN,
  });
  const zero = { still: Float32Array.of(0, 0) };
  expect(farthestTensor(zero, zero).difference).toBe(0);
  expect(farthestTensor({ still: Float32Array.of(0, 1e-9) }, zero).difference).toBe(Number.POSITIVE_INFINITY);
});

test('a process that ignores its interrupt is killed', async () => {
  const script = 'trap "" INT; echo up; while :; do sleep 1; done';
  const said: string[] = [];
  const how = await runToEnd('sh', ['-c', script], {
    limitMs: 3000,
    graceMs: 100,
    onLine: (line) => said.push(line),
  });
  expect([how, said]).toEqual(['SIGKILL', ['up']]);
});

test('a process is killed when its signal is aborted, and tells how it ended', async () => {
  const controller = new AbortController();
  const onEnd = vi.fn();
  const { signal } = controller;
  const onLine = () => controller.abort();
  const how = await runToEnd('sh', ['-c', 'echo up; exec sleep 60'], { limitMs: 60_000, signal, onLine, onEnd });
  expect([how, onEnd.mock.calls]).toEqual(['SIGKILL', [['SIGKILL']]]);
  expect(await runToEnd('sh', ['-c', 'exit 3'], { limitMs: 60_000 })).toBe('exit code 3');
});

test('a curve of the cpu is read from the lines of another check, and set beside', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hyperpolicy-curve-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'lines.json');
  const line = (isQuick: boolean, curve: number[][]) =>
    `${JSON.stringify({ note: 'learning curve', device: 'cpu', isQuick, curve, isWhole: true })}\n`;
  writeFileSync(file, `{"note":"where"}\n${line(true, [[0, 1]])}${line(false, [[0, -1.6352]])}`);
  const { cpuCurve, deadlineSeconds } = readArguments(['--cpu-curve', file]);
  expect([cpuCurve, deadlineSeconds]).toEqual([[[0, -1.6352]], 480]);
  expect(readArguments(['--cpu-curve', 'none', '--deadline', '60'])).toMatchObject({
    cpuCurve: 'none',
    deadlineSeconds: 60,
  });
  const check = vi.fn();
  compareStarts({ check }, [[0, -1.635_181]], [[0, -1.6352]]);
  compareStarts({ check }, [[0, -1.7]], [[0, -1.6352]]);
  compareStarts({ check }, [], [[0, -1.6352]]);
  expect(check.mock.calls.map(([, isOk]) => isOk)).toEqual([true, false, false]);
});
