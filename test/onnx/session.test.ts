/** Sessions: outputs in place, devices and what is said where one is missing, and memory over thousands of lives. */

import { describe, expect, test } from 'vitest';
import { deviceNames, isInstalled } from '../../src/onnx/providers.ts';
import { floatTensor, openSession } from '../../src/onnx/session.ts';
import { exponential, product, sharedThenAlone, smallAndLarge } from './graphs.ts';

const one = { threadCount: 1 } as const;

describe('a run', () => {
  test('writes into preallocated outputs', () => {
    const session = openSession(exponential(2), one);
    const y = floatTensor(new Float32Array(2), [1, 2]);
    session.run({ x: floatTensor(Float32Array.of(0, 1), [1, 2]) }, { y });
    expect(y.data[0]).toBe(2);
    expect(y.data[1]).toBeCloseTo(2 * Math.E, 5);
    session.dispose();
  });

  test('gives back the tensors that it wrote into', () => {
    const session = openSession(exponential(2), one);
    const y = floatTensor(new Float32Array(2), [1, 2]);
    expect(session.run({ x: floatTensor(Float32Array.of(0, 1), [1, 2]) }, { y }).y).toBe(y);
    session.dispose();
  });

  const large = 4_000_000;
  const largeRun = () => {
    const session = openSession(smallAndLarge(large), one);
    const feeds = { x: floatTensor(new Float32Array(large).fill(2), [large]) };
    const mean = floatTensor(new Float32Array(1), []);
    const more = floatTensor(new Float32Array(large), [large]);
    return { session, feeds, mean, more };
  };

  test('writes large outputs without a copy of them', () => {
    const { session, feeds, mean, more } = largeRun();
    expect(session.run(feeds, { mean, more })).toEqual({ mean, more });
    expect(mean.data[0]).toBe(2);
    expect(more.data[large - 1]).toBe(3);
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 5; i++) session.run(feeds, { mean, more });
    // A copy of each would be 80 MB.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * large);
    session.dispose();
  });

  test('allocates the outputs that have no place, and its errors are its own, after a run in place', () => {
    const { session, feeds, mean, more } = largeRun();
    session.run(feeds, { mean, more });
    const { mean: fresh, more: given } = session.run(feeds, { more });
    expect(given).toBe(more);
    expect(fresh!.data[0]).toBe(2);
    expect(() => session.run({}, { mean, more })).toThrow(/x/);
    session.dispose();
  });

  test('its second thread sleeps while an operator has work for one only', () => {
    const size = 256;
    const session = openSession(sharedThenAlone(size, 5000), { threadCount: 2, spinning: true });
    const x = floatTensor(new Float32Array(size * size).fill(0.01), [size, size]);
    const y = floatTensor(new Float32Array(1), []);
    session.run({ x }, { y });
    const [begin, before] = [performance.now(), process.cpuUsage()];
    for (let i = 0; i < 50; i++) session.run({ x }, { y });
    const { user, system } = process.cpuUsage(before);
    // A thread that spins to the end of a run takes a second core: 2. A busy machine makes it less.
    expect((user + system) / 1000 / (performance.now() - begin)).toBeLessThan(1.5);
    session.dispose();
  });

  test('says which input is missing', () => {
    const session = openSession(exponential(2), one);
    expect(() => session.run({})).toThrow(/x/);
    session.dispose();
  });

  test('refuses a shape that the graph does not take', () => {
    const session = openSession(product(4), one);
    expect(() => session.run({ x: floatTensor(new Float32Array(3), [1, 3]) })).toThrow(/Expected: 4|dimension/);
    session.dispose();
  });
});

describe('devices', () => {
  test('cpu is the default', () => {
    const session = openSession(exponential(1), one);
    expect(session.device).toBe('cpu');
    session.dispose();
  });

  test('auto opens on a device that it names', () => {
    const session = openSession(exponential(1), { ...one, device: 'auto' });
    expect(['cpu', 'cuda']).toContain(session.device);
    session.dispose();
  });

  test('every name but auto is a device of the runtime', () => {
    expect(deviceNames).toEqual(['auto', 'cpu', 'webgpu', 'cuda']);
    expect(isInstalled('cpu')).toBe(true);
    expect(isInstalled('webgpu')).toBe(true);
  });

  test.skipIf(isInstalled('cuda'))('a device whose provider is not installed is an error with the remedy', () => {
    expect(() => openSession(exponential(1), { ...one, device: 'cuda' }, 'actor')).toThrow(
      'actor: expected the cuda device, got no provider of that name. ' +
        'Fetch the provider with deploy/cuda/install.sh, and set LD_LIBRARY_PATH as it prints',
    );
  });

  test('bytes that are no model are refused as such', () => {
    expect(() => openSession(Uint8Array.of(1, 2, 3), one, 'actor')).toThrow(/^actor: expected an ONNX model, got /);
  });
});

describe('memory', () => {
  const cycle = (model: Uint8Array, x: Float32Array) => {
    const session = openSession(model, one);
    session.run({ x: floatTensor(x, [1, x.length]) });
    session.dispose();
  };

  test('stays flat over thousands of open, run and dispose', { timeout: 120_000 }, () => {
    // 256 KiB of weights each: 3000 lives would leave 750 MiB behind if sessions leaked. The allocator's own growth differs from run to
    // run, from 56 to 215 MiB.
    const model = product(256);
    const x = new Float32Array(256).fill(1);
    for (let i = 0; i < 300; i++) cycle(model, x);
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 3000; i++) cycle(model, x);
    expect((process.memoryUsage().rss - before) / 2 ** 20).toBeLessThan(375);
  });
});
