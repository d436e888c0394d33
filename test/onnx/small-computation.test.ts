/** Small graphs over arrays that stay the same: in WASM where they are one row, else by ONNX Runtime, with the same results. */

import { describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { createBuilder } from '../../src/onnx/builder.ts';
import { encode } from '../../src/onnx/encode.ts';
import { add, unary } from '../../src/onnx/ops/elementwise.ts';
import { matMul } from '../../src/onnx/ops/matmul.ts';
import { optimise } from '../../src/onnx/passes/index.ts';
import { openRowComputation } from '../../src/onnx/rows/row-computation.ts';
import { floatTensor, openSession } from '../../src/onnx/session.ts';
import { openSmallComputation } from '../../src/onnx/small-computation.ts';

const [hiddenSize, outputSize] = [32, 6];

/** y = tanh(relu(x W + b) V), the weights being inputs. */
function network(rowCount: number, inputSize: number, symbols?: Map<number, string>): Uint8Array {
  const g = createBuilder(symbols);
  const input = (name: string, ...shape: number[]) => g.input(name, 'float32', shape);
  const [x, w] = [input('x', rowCount, inputSize), input('w', inputSize, hiddenSize)];
  const hidden = unary(g, 'Relu', add(g, matMul(g, x, w), input('b', hiddenSize)));
  const y = unary(g, 'Tanh', matMul(g, hidden, input('v', hiddenSize, outputSize)));
  return encode(optimise(g.finish('network', [{ name: 'y', value: y }])));
}

function arrays(rowCount: number, inputSize: number): Record<string, Float32Array> {
  const random = createRandom(3);
  const normals = (size: number) => {
    const values = new Float32Array(size);
    random.fillNormal(values);
    return values;
  };
  return {
    x: normals(rowCount * inputSize),
    w: normals(inputSize * hiddenSize),
    b: normals(hiddenSize),
    v: normals(hiddenSize * outputSize),
  };
}

describe.each([
  ['one row', 1, 17, true],
  ['several rows', 3, 17, false],
  // 2^13 x 32 weights and some more: above the 2^18 values that are copied for each run.
  ['one row of many weights', 1, 2 ** 13, false],
])('%s', (_what, rowCount, inputSize, isByRow) => {
  const model = network(rowCount, inputSize);

  test(`runs ${isByRow ? 'in WASM' : 'by ONNX Runtime'}`, () => {
    expect(openRowComputation(model) !== undefined).toBe(isByRow);
  });

  test('gives what the runtime gives, and sees weights that change between runs', () => {
    const inputs = arrays(rowCount, inputSize);
    const y = new Float32Array(rowCount * outputSize);
    const computation = openSmallComputation(model, 'network');
    const session = openSession(model, { threadCount: 1 });
    const run = computation.bind(inputs, { y });
    for (const scale of [1, -0.5]) {
      for (const name of ['w', 'b', 'v']) inputs[name]!.set(inputs[name]!.map((value) => scale * value));
      run();
      const feeds = session.inputs.map(({ name, shape }) => [name, floatTensor(inputs[name]!, shape as number[])]);
      const expected = session.run(Object.fromEntries(feeds)).y!.data as Float32Array;
      // Sums of up to 8192 products in another order, below tanh.
      y.forEach((value, i) => {
        expect(value).toBeCloseTo(expected[i]!, 4);
      });
    }
    computation.dispose();
    session.dispose();
  });
});

test.each([1, 3])('arrays of another size are refused, %i rows', (rowCount) => {
  const { bind, dispose } = openSmallComputation(network(rowCount, 17), 'network');
  const given = arrays(rowCount, 17);
  const y = new Float32Array(rowCount * outputSize);
  expect(() => bind({ ...given, w: new Float32Array(8) }, { y })).toThrow(
    `network: expected ${17 * hiddenSize} values of "w", got 8`,
  );
  expect(() => bind(given, { y: new Float32Array(100) })).toThrow(
    `expected ${rowCount * outputSize} values of "y", got 100`,
  );
  expect(() => bind(given, {})).toThrow(`expected ${rowCount * outputSize} values of "y", got no array`);
  dispose();
});

test('a graph of a symbolic number of rows is not one row', () => {
  expect(openRowComputation(network(10_007, 17, new Map([[10_007, 'B']])))).toBeUndefined();
});

test('names and sizes are those of the graph', () => {
  const { inputs, outputs, dispose } = openSmallComputation(network(1, 17), 'network');
  expect(inputs).toEqual([
    { name: 'x', size: 17 },
    { name: 'w', size: 17 * hiddenSize },
    { name: 'b', size: hiddenSize },
    { name: 'v', size: hiddenSize * outputSize },
  ]);
  expect(outputs).toMatchObject([{ name: 'y', size: outputSize }]);
  dispose();
});
