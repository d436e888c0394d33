/** Computations over items: in turn, on the caller's thread and by a worker alone, with the same results. */

import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { createEngine } from '../../../trainer/engine/choose.ts';
import type { Engine, ItemComputations, ItemsDefinition } from '../../../trainer/engine/engine.ts';
import { jobSlot, lastJob, shareItems } from '../../../trainer/engine/item-memory.ts';
import type { ItemWorkerData } from '../../../trainer/engine/item-worker.ts';
import { compileItems, type ItemsPlan, openLane } from '../../../trainer/engine/items.ts';
import { createTracedEngine, modelOf } from '../../../trainer/engine/traced.ts';
import { controlSlot, giveOrder, waitForItems } from '../../../trainer/machine/claims.ts';
import { createWaiter } from '../../../trainer/machine/wait.ts';
import { workerFile } from '../../../trainer/machine/worker-file.ts';

/** Four items; each row of `w` is for two of them. */
const definition: ItemsDefinition<'product' | 'total'> = {
  name: 'test',
  itemCount: 4,
  arrays: {
    x: { rowCount: 4, shape: [2, 3] },
    w: { rowCount: 2, shape: [3] },
    y: { rowCount: 4, shape: [2] },
    sum: { rowCount: 4, shape: [] },
  },
  functions: {
    product: { inputs: ['x', 'w'], outputs: ['y'], fn: ({ x, w }) => ({ y: tf.sum(tf.mul(x!, w!), 1) }) },
    total: { inputs: ['x'], outputs: ['sum'], fn: ({ x }) => ({ sum: tf.sum(x!) }) },
  },
};

const x = Float32Array.from({ length: 24 }, (_, i) => i - 10);
const w = Float32Array.of(1, 0, 2, 0, -1, 3);
/** y[item, row] = sum of x[item, row] times the item's row of w: item 0 is [-10, -9, -8], [-7, -6, -5] by [1, 0, 2]. */
const y = [-26, -17, -8, 1, 9, 15, 21, 27];
const sum = [-45, -9, 27, 63];

function fill(arrays: ItemComputations<string>['arrays']): void {
  arrays.x!.set(x);
  arrays.w!.set(w);
}

const engines: Record<string, () => Engine | Promise<Engine>> = {
  'on one thread': () => createTracedEngine({ threadCount: 1 }),
  'on more threads than items': () => createTracedEngine({ threadCount: 5 }),
  'in turn': () => createEngine('cpu', { threadCount: 1 }),
};

test.each(Object.keys(engines))('functions run for every item, %s', async (name) => {
  const items = compileItems(await engines[name]!(), definition);
  fill(items.arrays);
  for (let run = 0; run < 3; run++) {
    items.arrays.y!.fill(0);
    items.run('product');
    expect([...items.arrays.y!]).toEqual(y);
    items.run('total');
    expect([...items.arrays.sum!]).toEqual(sum);
  }
  items.dispose();
});

/** y = x exp(w), with exp(w) kept at two places. */
const withSteady: ItemsDefinition<'scaled'> = {
  ...definition,
  functions: {
    scaled: {
      inputs: ['x', 'w'],
      outputs: ['y'],
      steady: ['w'],
      placeCount: 2,
      fn: ({ x, w }) => ({ y: tf.sum(tf.mul(x!, tf.exp(w!)), 1) }),
    },
  },
};
const scaled = (w: Float32Array) =>
  Array.from({ length: 8 }, (_, row) => {
    const item = Math.floor(row / 2);
    const value = (i: number) => x[3 * row + i]! * Math.exp(w[3 * Math.floor(item / 2) + i]!);
    return value(0) + value(1) + value(2);
  });
const other = Float32Array.of(-1, 1, 0, 1, 2, -2);

function expectScaled(items: ItemComputations<'scaled'>, w: Float32Array): void {
  items.arrays.y!.forEach((value, i) => {
    expect(Math.abs(value / scaled(w)[i]! - 1)).toBeLessThan(1e-5);
  });
}

test.each(Object.keys(engines))(
  'steady inputs are read again after they are renewed, and at another place, %s',
  async (name) => {
    const items = compileItems(await engines[name]!(), withSteady);
    const run = (w: Float32Array, place: number) => {
      items.arrays.y!.fill(0);
      items.arrays.w!.set(w);
      items.run('scaled', place);
      expectScaled(items, w);
    };
    items.arrays.x!.set(x);
    for (const [first, second] of [
      [w, other],
      [other, w],
    ] as const) {
      items.renew();
      for (let round = 0; round < 3; round++) {
        run(first, 0);
        run(second, 1);
      }
    }
    items.dispose();
  },
);

test('what follows from steady inputs is kept until they are renewed', () => {
  const items = compileItems(createTracedEngine({ threadCount: 1 }), withSteady);
  fill(items.arrays);
  items.run('scaled');
  const before = items.arrays.y!.slice();
  // Against the rule, to see it.
  items.arrays.w!.set(other);
  items.run('scaled');
  expect(items.arrays.y!).toEqual(before);
  items.renew();
  items.run('scaled');
  expectScaled(items, other);
  items.dispose();
});

/** A lane whose function `scaled` keeps 12 bytes of each of four items, with two threads. @returns the items that were computed anew */
function laneKeeping(keptBytesMax: number, items: readonly number[]): number[] {
  const { arrays } = definition;
  const shared = Object.fromEntries(
    Object.entries(arrays).map(([name, { rowCount, shape }]) => [
      name,
      Float32Array.from({ length: rowCount * shape.reduce((product, size) => product * size, 1) }, (_, i) => i),
    ]),
  );
  const log: number[] = [];
  const program = (inputs: string[], onRun: (first: number) => void) => ({
    inputs,
    bind: (bound: Record<string, { readonly data: Float32Array }>) => () => onRun(bound[inputs[0]!]!.data[0]!),
    dispose: () => {},
  });
  const lane = openLane({ ...plan, functions: withSteady.functions, keptBytesMax }, shared, () => ({
    rest: program(['w', 'kept.0'], () => {}),
    steady: { ...program(['x'], (first) => log.push(first / 6)), shapes: { 'kept.0': [3] } },
  }));
  for (const item of items) lane.run('scaled', item, { place: 0, epoch: 0 });
  lane.dispose();
  return log;
}

test('a lane keeps no more than its share, and a quarter for what it does beyond; the bound is for all threads', () => {
  // Half of 8 points and a quarter more: 5; here of one place, so all four items.
  expect(laneKeeping(1000, [0, 1, 2, 3, 0, 1, 2, 3])).toEqual([0, 1, 2, 3]);
  // 48 bytes are two slots for each of two threads: item 0 stays in one, and the others take turns in the other.
  expect(laneKeeping(48, [0, 1, 2, 3, 0, 1, 2, 3])).toEqual([0, 1, 2, 3, 1, 2, 3]);
  // A byte less is one slot each, which is what it takes to run.
  expect(laneKeeping(47, [0, 1, 0, 0])).toEqual([0, 1, 0]);
  expect(laneKeeping(0, [0, 0, 1, 0])).toEqual([0, 1, 0]);
});

test.each(Object.keys(engines))(
  'a place or a function that there is not is refused before anything runs, %s',
  async (name) => {
    const items = compileItems<string>(await engines[name]!(), withSteady);
    for (const place of [2, -1, 0.5, Number.NaN]) {
      expect(() => items.run('scaled', place)).toThrow(`test-scaled: expected a place from 0 to 1, got ${place}`);
    }
    expect(() => items.run('scale')).toThrow('test: expected one of scaled, got "scale"');
    fill(items.arrays);
    items.run('scaled', 1);
    expectScaled(items, w);
    items.dispose();
  },
);

test('a steady input that is none is refused', () => {
  const { scaled } = withSteady.functions;
  const wrong = { ...withSteady, functions: { scaled: { ...scaled, steady: ['v'] } } };
  expect(() => compileItems(createTracedEngine({ threadCount: 1 }), wrong)).toThrow(
    'test-scaled: expected steady inputs among its inputs, got "v"',
  );
});

const { x: xRows, y: yRows } = definition.arrays;
const identity = (outputs: string[]) => ({
  inputs: ['x'],
  outputs,
  fn: ({ x }: Record<string, tf.Tensor>) => ({ y: tf.neg(x!) }),
});

test.each([
  [{ x: { ...xRows!, rowCount: 3 } }, ['y'], 'test: array "x": expected rows for equal parts of 4 items, got 3'],
  [
    { x: xRows!, y: { ...xRows!, rowCount: 2 } },
    ['y'],
    'test: array "y": expected a row for each of 4 items, as it is written, got 2',
  ],
  [{ x: xRows!, y: xRows!, z: yRows! }, ['y', 'z'], 'test-f: expected an output "z" of the function, got none'],
  [{ x: xRows! }, [], 'test-f: expected an array for output "y", got none'],
])('arrays that do not fit are refused: %#', async (arrays, outputs, text) => {
  const wrong = { name: 'test', itemCount: 4, arrays, functions: { f: identity(outputs) } };
  for (const engine of Object.values(engines)) {
    const opened = await engine();
    // In turn, a function is only known once it runs.
    expect(() => compileItems(opened, wrong).run('f')).toThrow(text);
  }
});

const plan: ItemsPlan = {
  ...definition,
  functions: { product: { inputs: ['x', 'w'], outputs: ['y'] }, total: { inputs: ['x'], outputs: ['sum'] } },
  threadCount: 2,
  keptBytesMax: 0,
};

/** A worker, with the caller's side of its memory. */
function startWorker(models: ItemWorkerData['models']) {
  const memory = shareItems(plan);
  const { port1, port2 } = new MessageChannel();
  const workerData: ItemWorkerData = { plan, models, memory: memory.memory, first: 2, spinMs: 0, port: port2 };
  const file = workerFile(new URL('../../../trainer/engine/items.ts', import.meta.url).href, 'item-worker');
  const thread = new Worker(file, { workerData, transferList: [port2] });
  return { memory, port: port1, ended: new Promise((resolve) => thread.once('exit', resolve)) };
}

test('a worker alone does the items that the caller leaves, and ends when told to', async () => {
  const models = Object.fromEntries(
    Object.entries(definition.functions).map(([name, { inputs, fn }]) => {
      const shapes = inputs.map((input) => [
        input,
        { shape: definition.arrays[input]!.shape, data: new Float32Array(0) },
      ]);
      return [name, { rest: modelOf({ name, inputs: Object.fromEntries(shapes), fn }) }];
    }),
  );
  const { memory, port, ended } = startWorker(models);
  fill(memory.arrays);
  const waiter = createWaiter(0);
  const order = (job: number, number: number) => {
    memory.job[jobSlot.name] = job;
    giveOrder(memory, number);
  };
  order(0, 1);
  waitForItems(memory, waiter, 'items');
  order(1, 2);
  waitForItems(memory, waiter, 'items');
  order(lastJob, 3);
  expect(await ended).toBe(0);
  expect(Atomics.load(memory.job, jobSlot.ended)).toBe(1);
  expect([...memory.arrays.y!]).toEqual(y);
  expect([...memory.arrays.sum!]).toEqual(sum);
  port.close();
});

test('a worker that cannot begin says why', async () => {
  const { memory, port, ended } = startWorker({
    product: { rest: Uint8Array.of(1, 2, 3) },
    total: { rest: Uint8Array.of() },
  });
  await ended;
  expect(Atomics.load(memory.control, controlSlot.failed)).toBe(1);
  expect(receiveMessageOnPort(port)?.message.message).toContain('test-product: expected an ONNX model');
  port.close();
});
