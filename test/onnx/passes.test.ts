/** Each pass on a small graph: what goes in, what comes out, and that both compute the same. */

import { describe, expect, test } from 'vitest';
import { type Builder, createBuilder, dense, fill } from '../../src/onnx/builder.ts';
import { encode } from '../../src/onnx/encode.ts';
import type { Graph, Shape, Value } from '../../src/onnx/graph.ts';
import { add, cast, comparison, mul, sub, unary } from '../../src/onnx/ops/elementwise.ts';
import { matMul } from '../../src/onnx/ops/matmul.ts';
import { reduce } from '../../src/onnx/ops/reduce.ts';
import { concat, expand, reshape, slice, transpose } from '../../src/onnx/ops/shape.ts';
import { mergeCommonSubexpressions } from '../../src/onnx/passes/common-subexpressions.ts';
import { removeDeadCode } from '../../src/onnx/passes/dead-code.ts';
import { dropExpands } from '../../src/onnx/passes/drop-expands.ts';
import { joinEqualParts } from '../../src/onnx/passes/equal-parts.ts';
import { materialiseFills, shrinkFills } from '../../src/onnx/passes/fills.ts';
import { foldConstants } from '../../src/onnx/passes/fold-constants.ts';
import { foldTransposes } from '../../src/onnx/passes/fold-transposes.ts';
import { fuseGemmBias } from '../../src/onnx/passes/gemm-bias.ts';
import { optimise } from '../../src/onnx/passes/index.ts';
import { cutLongProducts } from '../../src/onnx/passes/long-products.ts';
import { turnNarrowProducts } from '../../src/onnx/passes/narrow-products.ts';
import { propagateZeros } from '../../src/onnx/passes/propagate-zeros.ts';
import { readReluMasks } from '../../src/onnx/passes/relu-masks.ts';
import { rewrite } from '../../src/onnx/passes/rewrite.ts';
import { replaceRowSums } from '../../src/onnx/passes/row-sums.ts';
import { simplify } from '../../src/onnx/passes/simplify.ts';
import { replaceThinProducts } from '../../src/onnx/passes/thin-products.ts';
import { floatTensor, openSession } from '../../src/onnx/session.ts';

type Build = (g: Builder, ...inputs: Value[]) => Value;

/** A graph of inputs `a`, `b`, ... and the output `y`. */
function graphOf(shapes: readonly Shape[], build: Build, symbols = new Map<number, string>()): Graph {
  const g = createBuilder(symbols);
  const inputs = shapes.map((shape, i) => g.input('abc'[i]!, 'float32', shape));
  const y = build(g, ...inputs);
  return g.finish('test', [{ name: 'y', value: y }]);
}

const ops = ({ nodes }: Graph): string[] => nodes.map(({ op }) => op);

function run(graph: Graph): number[] {
  const session = openSession(encode(graph), { threadCount: 1 });
  const feeds = Object.fromEntries(
    graph.inputs.map(({ name, value: { shape } }, k) => {
      const size = shape.reduce((product, length) => product * length, 1);
      return [
        name,
        floatTensor(
          Float32Array.from({ length: size }, (_, i) => Math.sin(1 + i + 10 * k)),
          shape,
        ),
      ];
    }),
  );
  const values = [...(session.run(feeds).y!.data as Float32Array)];
  session.dispose();
  return values;
}

/** Applies a pass and dead code removal; checks the operators before and after, and that the values stay. */
function check(graph: Graph, pass: (graph: Graph) => Graph, before: string[], after: string[]): Graph {
  expect(ops(graph)).toEqual(before);
  const result = removeDeadCode(pass(graph));
  expect(ops(result)).toEqual(after);
  const [expected, actual] = [run(graph), run(result)];
  expect(actual).toHaveLength(expected.length);
  actual.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i]!, 6);
  });
  return result;
}

test('dead code goes', () => {
  const graph = graphOf([[2]], (g, a) => {
    unary(g, 'Exp', a);
    return unary(g, 'Tanh', a);
  });
  check(graph, (same) => same, ['Exp', 'Tanh'], ['Tanh']);
});

describe('common subexpressions', () => {
  test('that are equal become one', () => {
    const graph = graphOf([[2]], (g, a) =>
      add(g, unary(g, 'Exp', a), mul(g, unary(g, 'Exp', a), fill(2, 'float32', []))),
    );
    check(graph, mergeCommonSubexpressions, ['Exp', 'Exp', 'Mul', 'Add'], ['Exp', 'Mul', 'Add']);
  });

  test('that are equal with their operands swapped become one', () => {
    const graph = graphOf([[2], [2]], (g, a, b) => sub(g, mul(g, a, b), unary(g, 'Exp', mul(g, b, a))));
    check(graph, mergeCommonSubexpressions, ['Mul', 'Mul', 'Exp', 'Sub'], ['Mul', 'Exp', 'Sub']);
  });

  test('of zeros with another sign stay', () => {
    const zeros = (...values: number[]) => dense(Float32Array.from(values), 'float32', [2]);
    const graph = graphOf([[2]], (g, a) => sub(g, mul(g, a, zeros(-0, 1)), mul(g, a, zeros(0, 1))));
    check(graph, mergeCommonSubexpressions, ['Mul', 'Mul', 'Sub'], ['Mul', 'Mul', 'Sub']);
  });

  test('with other attributes stay', () => {
    const graph = graphOf([[2, 2]], (g, a) => add(g, matMul(g, a, a), matMul(g, a, a, { transposeA: true })));
    check(graph, mergeCommonSubexpressions, ['Gemm', 'Gemm', 'Add'], ['Gemm', 'Gemm', 'Add']);
  });
});

describe('constant folding', () => {
  test('computes equal-element constants without their elements', () => {
    const graph = graphOf([[3]], (g, a) => mul(g, a, add(g, fill(0.1, 'float32', [3]), fill(0.2, 'float32', [3]))));
    const folded = check(graph, foldConstants, ['Add', 'Mul'], ['Mul']);
    // float32: 0.1 + 0.2 rounded as the runtime rounds it.
    const sum = Math.fround(Math.fround(0.1) + Math.fround(0.2));
    expect(folded.nodes[0]!.inputs[1]!.constant).toEqual({ kind: 'fill', fill: sum });
  });

  test('broadcasts dense constants', () => {
    const column = dense(Float32Array.of(1, 2), 'float32', [2, 1]);
    const row = dense(Float32Array.of(10, 20, 30), 'float32', [3]);
    const graph = graphOf([[2, 3]], (g, a) => mul(g, a, sub(g, row, column)));
    const folded = check(graph, foldConstants, ['Sub', 'Mul'], ['Mul']);
    expect(folded.nodes[0]!.inputs[1]!.constant).toEqual({
      kind: 'dense',
      data: Float32Array.of(9, 19, 29, 8, 18, 28),
    });
  });

  test('leaves functions that runtimes round differently', () => {
    const graph = graphOf([[1]], (g, a) => mul(g, a, unary(g, 'Exp', fill(0.3, 'float32', [1]))));
    check(graph, foldConstants, ['Exp', 'Mul'], ['Exp', 'Mul']);
  });
});

describe('transposes', () => {
  test('of an operand become a flag', () => {
    const graph = graphOf(
      [
        [3, 2],
        [3, 4],
      ],
      (g, a, b) => matMul(g, transpose(g, a, [1, 0]), b),
    );
    const folded = check(graph, foldTransposes, ['Transpose', 'Gemm'], ['Gemm']);
    expect(folded.nodes[0]!.attributes).toEqual({ transA: { int: 1 }, transB: { int: 0 } });
  });

  test('of an operand that was transposed already cancel', () => {
    const graph = graphOf(
      [
        [2, 3],
        [4, 3],
      ],
      (g, a, b) => matMul(g, a, transpose(g, transpose(g, b, [1, 0]), [1, 0]), { transposeB: true }),
    );
    check(graph, (g) => foldTransposes(simplify(g)), ['Transpose', 'Transpose', 'Gemm'], ['Gemm']);
  });

  test('of the product swap its operands', () => {
    const graph = graphOf(
      [
        [2, 3],
        [4, 3],
      ],
      (g, a, b) => transpose(g, matMul(g, a, b, { transposeB: true }), [1, 0]),
    );
    const folded = check(graph, foldTransposes, ['Gemm', 'Transpose'], ['Gemm']);
    expect(folded.nodes[0]!.inputs.map((input) => input!.shape)).toEqual([
      [4, 3],
      [2, 3],
    ]);
    expect(folded.nodes[0]!.attributes).toEqual({ transA: { int: 0 }, transB: { int: 1 } });
  });

  test('of a product that is read untransposed as well stay', () => {
    const graph = graphOf(
      [
        [2, 2],
        [2, 2],
      ],
      (g, a, b) => {
        const product = matMul(g, a, b);
        return add(g, product, transpose(g, product, [1, 0]));
      },
    );
    check(graph, foldTransposes, ['Gemm', 'Transpose', 'Add'], ['Gemm', 'Transpose', 'Add']);
  });
});

describe('Gemm bias', () => {
  test('is fused', () => {
    const graph = graphOf([[2, 3], [3, 4], [4]], (g, a, b, c) => add(g, c, matMul(g, a, b)));
    check(graph, fuseGemmBias, ['Gemm', 'Add'], ['Gemm']);
  });

  test('has a dimension: the runtime ends the process at one without on webgpu', () => {
    const graph = graphOf([[2, 3], [3, 1], []], (g, a, b, c) =>
      mul(g, add(g, matMul(g, a, b), c), add(g, matMul(g, a, b), fill(2, 'float32', []))),
    );
    const fused = check(graph, fuseGemmBias, ['Gemm', 'Add', 'Gemm', 'Add', 'Mul'], ['Reshape', 'Gemm', 'Gemm', 'Mul']);
    const biases = fused.nodes.flatMap(({ op, inputs }) => (op === 'Gemm' ? [inputs[2]!.shape] : []));
    expect(biases).toEqual([[1], [1]]);
  });

  test('goes into the other product where one was added already', () => {
    const graph = graphOf([[2, 3], [3, 4], [4]], (g, a, b, c) =>
      add(g, c, add(g, matMul(g, a, b), matMul(g, unary(g, 'Exp', a), b))),
    );
    check(graph, fuseGemmBias, ['Gemm', 'Exp', 'Gemm', 'Add', 'Add'], ['Exp', 'Gemm', 'Gemm']);
  });

  test('stays outside where the other product has another reader', () => {
    const graph = graphOf([[2, 3], [3, 4], [4]], (g, a, b, c) => {
      const product = matMul(g, unary(g, 'Exp', a), b);
      return mul(g, product, add(g, c, add(g, matMul(g, a, b), product)));
    });
    check(graph, fuseGemmBias, ['Exp', 'Gemm', 'Gemm', 'Add', 'Add', 'Mul'], ['Exp', 'Gemm', 'Gemm', 'Add', 'Mul']);
  });

  test('stays outside where the product has another reader', () => {
    const graph = graphOf([[2, 3], [3, 4], [4]], (g, a, b, c) => {
      const product = matMul(g, a, b);
      return mul(g, product, add(g, product, c));
    });
    check(graph, fuseGemmBias, ['Gemm', 'Add', 'Mul'], ['Gemm', 'Add', 'Mul']);
  });

  test('of a higher rank stays outside', () => {
    const graph = graphOf(
      [
        [2, 3],
        [3, 4],
        [5, 1, 4],
      ],
      (g, a, b, c) => add(g, matMul(g, a, b), c),
    );
    check(graph, fuseGemmBias, ['Gemm', 'Add'], ['Gemm', 'Add']);
  });
});

describe('narrow products over many rows', () => {
  const transposed = (g: Builder, a: Value, b: Value) => matMul(g, transpose(g, a, [1, 0]), b);
  const folded = (shapes: readonly Shape[], build: Build) => foldTransposes(graphOf(shapes, build));

  test.each<[string, readonly Shape[], Build, string[]]>([
    [
      'alone',
      [
        [256, 8],
        [256, 2],
      ],
      transposed,
      ['Transpose', 'MatMul', 'Transpose'],
    ],
    [
      'with what is added',
      [
        [256, 8],
        [256, 2],
        [8, 2],
      ],
      (g, a, b, c) => add(g, transposed(g, a, b), c),
      ['Transpose', 'MatMul', 'Transpose', 'Add'],
    ],
    [
      'after optimise',
      [
        [256, 8],
        [256, 2],
      ],
      (g, a, b) => transposed(g, unary(g, 'Exp', a), b),
      ['Exp', 'Transpose', 'MatMul', 'Transpose'],
    ],
  ])('are turned, %s', (_name, shapes, build, after) => {
    const graph = removeDeadCode(fuseGemmBias(folded(shapes, build)));
    const before = [...after.filter((op) => op === 'Exp'), 'Gemm'];
    check(graph, turnNarrowProducts, before, after);
    expect(ops(optimise(graph))).toEqual(after);
  });

  test.each<[string, readonly Shape[], Build]>([
    [
      'fewer rows',
      [
        [255, 8],
        [255, 2],
      ],
      transposed,
    ],
    [
      'one column',
      [
        [256, 8],
        [256, 1],
      ],
      transposed,
    ],
    [
      'many columns',
      [
        [256, 100],
        [256, 21],
      ],
      transposed,
    ],
    [
      'a left side that is hardly wider',
      [
        [256, 7],
        [256, 2],
      ],
      transposed,
    ],
    [
      'a left side that is not transposed',
      [
        [256, 8],
        [8, 2],
      ],
      (g, a, b) => matMul(g, a, b),
    ],
  ])('stay with %s', (_name, shapes, build) => {
    check(removeDeadCode(folded(shapes, build)), turnNarrowProducts, ['Gemm'], ['Gemm']);
  });
});

describe('algebraic no-ops', () => {
  test.each<[string, Build, string[]]>([
    ['x + 0', (g, a) => add(g, a, fill(0, 'float32', [])), ['Add']],
    ['1 x', (g, a) => mul(g, fill(1, 'float32', []), a), ['Mul']],
    ['x - 0', (g, a) => sub(g, a, fill(0, 'float32', [2, 3])), ['Sub']],
    ['reshapes back', (g, a) => reshape(g, reshape(g, a, [6]), [2, 3]), ['Reshape', 'Reshape']],
    ['transposes back', (g, a) => transpose(g, transpose(g, a, [1, 0]), [1, 0]), ['Transpose', 'Transpose']],
  ])('%s is x', (_name, build, before) => {
    const graph = graphOf([[2, 3]], (g, a) => unary(g, 'Exp', build(g, a)));
    check(graph, (g) => simplify(simplify(g)), [...before, 'Exp'], ['Exp']);
  });

  test.each<[string, Build, string]>([
    ['a + (-b) is a - b', (g, a, b) => add(g, a, unary(g, 'Neg', b)), 'Sub'],
    ['(-a) + b is b - a', (g, a, b) => add(g, unary(g, 'Neg', a), b), 'Sub'],
    ['a - (-b) is a + b', (g, a, b) => sub(g, a, unary(g, 'Neg', b)), 'Add'],
  ])('%s', (_name, build, after) => {
    const graph = graphOf([[2], [2]], build);
    check(graph, simplify, ['Neg', after === 'Sub' ? 'Add' : 'Sub'], [after]);
  });

  test('a transpose that moves only sizes of 1 and a sum over one element are reshapes', () => {
    const graph = graphOf([[2, 1, 3]], (g, a) =>
      reduce(g, 'ReduceSum', transpose(g, a, [0, 2, 1]), { axes: [2], keepDims: false }),
    );
    check(graph, (g) => simplify(simplify(g)), ['Transpose', 'ReduceSum'], ['Reshape']);
  });
});

describe('zeros', () => {
  test.each<[string, Build, string[]]>([
    ['x 0', (g, a) => mul(g, unary(g, 'Exp', a), fill(0, 'float32', [])), ['Exp', 'Mul']],
    ['x - x', (g, a) => sub(g, a, a), ['Sub']],
    ['a product with zeros', (g, a) => matMul(g, a, fill(0, 'float32', [2, 2])), ['Gemm']],
    [
      'a sum of zeros',
      (g) => reduce(g, 'ReduceSum', fill(0, 'float32', [3, 2]), { axes: [0], keepDims: false }),
      ['ReduceSum'],
    ],
  ])('%s adds nothing', (_name, build, before) => {
    const graph = graphOf([[2, 2]], (g, a) => add(g, unary(g, 'Tanh', a), build(g, a)));
    check(graph, (g) => simplify(propagateZeros(g)), ['Tanh', ...before, 'Add'], ['Tanh']);
  });

  test('x - y of equal shapes stays', () => {
    const graph = graphOf([[2], [2]], (g, a, b) => sub(g, a, b));
    check(graph, propagateZeros, ['Sub'], ['Sub']);
  });

  test('zeros beside values stay', () => {
    const graph = graphOf([[2]], (g, a) =>
      g.emit('Concat', [a, fill(0, 'float32', [1])], { dtype: 'float32', shape: [3] }, { axis: { int: 0 } }),
    );
    check(graph, propagateZeros, ['Concat'], ['Concat']);
  });
});

describe('equal-element constants', () => {
  test('shrink to one element where another operand has the shape', () => {
    const graph = graphOf([[2, 3]], (g, a) => mul(g, a, fill(2, 'float32', [2, 3])));
    const shrunk = check(graph, shrinkFills, ['Mul'], ['Mul']);
    expect(shrunk.nodes[0]!.inputs[1]!.shape).toEqual([]);
  });

  test('of a symbolic shape are made at run time', () => {
    const graph = graphOf(
      [[10007]],
      (g, a) =>
        g.emit('Concat', [a, fill(1, 'float32', [10007])], { dtype: 'float32', shape: [20014] }, { axis: { int: 0 } }),
      new Map([[10007, 'B']]),
    );
    const made = materialiseFills(graph);
    expect(ops(made)).toEqual(['Shape', 'Expand', 'Concat']);
    const session = openSession(encode(made), { threadCount: 1 });
    const { y } = session.run({ a: floatTensor(Float32Array.of(5, 6), [2]) });
    expect(y!.data).toEqual(Float32Array.of(5, 6, 1, 1));
    session.dispose();
  });
});

describe('expands', () => {
  test('go where the reader broadcasts', () => {
    const graph = graphOf(
      [
        [1, 3],
        [2, 3],
      ],
      (g, a, b) => mul(g, expand(g, a, [2, 3]), b),
    );
    check(graph, dropExpands, ['Expand', 'Mul'], ['Mul']);
  });

  test('stay where they alone make the shape', () => {
    const graph = graphOf(
      [
        [1, 3],
        [1, 3],
      ],
      (g, a, b) => mul(g, expand(g, a, [2, 3]), b),
    );
    check(graph, dropExpands, ['Expand', 'Mul'], ['Expand', 'Mul']);
  });

  test('of both operands leave one', () => {
    const graph = graphOf(
      [
        [1, 3],
        [1, 3],
      ],
      (g, a, b) => mul(g, expand(g, a, [2, 3]), expand(g, b, [2, 3])),
    );
    check(graph, dropExpands, ['Expand', 'Expand', 'Mul'], ['Expand', 'Mul']);
  });

  test('before readers that do not broadcast stay', () => {
    const graph = graphOf([[1, 3]], (g, a) => unary(g, 'Exp', expand(g, a, [2, 3])));
    check(graph, dropExpands, ['Expand', 'Exp'], ['Expand', 'Exp']);
  });
});

describe('batched products', () => {
  test('of columns and rows are broadcast products', () => {
    const graph = graphOf(
      [
        [2, 3, 1],
        [2, 1, 4],
      ],
      (g, a, b) => matMul(g, a, b),
    );
    check(graph, replaceThinProducts, ['MatMul'], ['Mul']);
  });

  test.each([
    [
      [2, 1, 3],
      [1, 3, 1],
    ],
    [
      [2, 1, 3],
      [4, 2, 3, 1],
    ],
    [
      [4, 2, 1, 3],
      [2, 3, 1],
    ],
  ])('of rows [%s] and columns [%s] are sums of products', (...shapes) => {
    const graph = graphOf(shapes, (g, a, b) => matMul(g, a, b));
    check(graph, replaceThinProducts, ['MatMul'], ['Reshape', 'Mul', 'ReduceSum']);
  });

  test('of matrices stay', () => {
    const graph = graphOf(
      [
        [2, 1, 3],
        [2, 3, 4],
      ],
      (g, a, b) => matMul(g, a, b),
    );
    check(graph, replaceThinProducts, ['MatMul'], ['MatMul']);
  });
});

describe("ReLU's mask", () => {
  const masked =
    (limit: number): Build =>
    (g, a) => {
      const x = mul(g, a, a);
      const shifted = sub(g, x, fill(0.5, 'float32', []));
      const relu = unary(g, 'Relu', shifted);
      return mul(g, relu, cast(g, comparison(g, 'Greater', shifted, fill(limit, 'float32', [])), 'float32'));
    };
  /** What the comparison reads. */
  const readOf = ({ nodes }: Graph): string => {
    const value = nodes.find(({ op }) => op === 'Greater')!.inputs[0]!;
    return nodes.find(({ outputs }) => outputs.includes(value))!.op;
  };
  const operators = ['Mul', 'Sub', 'Relu', 'Greater', 'Cast', 'Mul'];

  test('is read from its result', () => {
    const graph = graphOf([[3, 4]], masked(0));
    expect(readOf(graph)).toBe('Sub');
    expect(readOf(check(graph, readReluMasks, operators, operators))).toBe('Relu');
  });

  test('is not what another limit gives', () => {
    expect(readOf(check(graphOf([[3, 4]], masked(-0.25)), readReluMasks, operators, operators))).toBe('Sub');
  });
});

describe('sums over the rows', () => {
  const rowSum =
    (keepDims: boolean): Build =>
    (g, a) =>
      reduce(g, 'ReduceSum', a, { axes: [0], keepDims });

  test('of a small matrix are products with ones', () => {
    check(graphOf([[3, 4]], rowSum(false)), replaceRowSums, ['ReduceSum'], ['MatMul']);
    check(graphOf([[3, 4]], rowSum(true)), replaceRowSums, ['ReduceSum'], ['MatMul', 'Reshape']);
  });

  test('of a large matrix are sums of two halves', () => {
    const graph = graphOf([[128, 1024]], rowSum(false));
    const halved = replaceRowSums(graph);
    expect(ops(halved)).toEqual(['Reshape', 'ReduceSum', 'ReduceSum']);
    const [expected, actual] = [run(graph), run(halved)];
    // The terms are at most 1, and 128 of them are rounded 128 times: 128 x 128 x 2^-24 = 1e-3 at the very worst.
    actual.forEach((value, i) => {
      expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-4);
    });
    expect(ops(replaceRowSums(graphOf([[129, 1024]], rowSum(false))))).toEqual(['MatMul']);
  });

  test.each<[string, Graph]>([
    ['a column', graphOf([[3, 1]], rowSum(false))],
    ['a symbolic number of rows', graphOf([[10_007, 4]], rowSum(false), new Map([[10_007, 'B']]))],
    ['columns', graphOf([[3, 4]], (g, a) => reduce(g, 'ReduceSum', a, { axes: [1], keepDims: false }))],
  ])('of %s stay', (_what, graph) => {
    expect(ops(replaceRowSums(graph))).toEqual(['ReduceSum']);
  });
});

test('passes together: a transposed product with a bias and a repeated gain is one product and one factor', () => {
  const graph = graphOf([[3, 2], [3, 4], [4]], (g, a, b, c) => {
    const product = matMul(g, transpose(g, a, [1, 0]), b);
    const biased = add(g, product, mul(g, c, fill(1, 'float32', [])));
    return mul(g, biased, expand(g, reshape(g, c, [1, 4]), [2, 4]));
  });
  check(graph, optimise, ['Transpose', 'Gemm', 'Mul', 'Add', 'Reshape', 'Expand', 'Mul'], ['Gemm', 'Reshape', 'Mul']);
});

describe('rewrite counts the reads of a value that replaced another', () => {
  const one = fill(1, 'float32', []);

  /** Drops products with one; how many reads the operand of each `Abs` has by then. */
  function usesOf(build: Build): number[] {
    const found: number[] = [];
    rewrite(graphOf([[2]], build), (node, { uses }) => {
      if (node.op === 'Abs') found.push(uses(node.inputs[0]!));
      return node.op === 'Mul' ? node.inputs[0] : undefined;
    });
    return found;
  }

  test('its own reads and those of the other', () => {
    // Read once by the product, which is read twice by the sum and once by Abs: the product goes.
    expect(
      usesOf((g, a) => {
        const x = unary(g, 'Neg', a);
        const y = mul(g, x, one);
        return add(g, add(g, y, y), unary(g, 'Abs', y));
      }),
    ).toEqual([3]);
    // Read by the product and by the sum; the product is read by Abs.
    expect(
      usesOf((g, a) => {
        const x = unary(g, 'Neg', a);
        return add(g, x, unary(g, 'Abs', mul(g, x, one)));
      }),
    ).toEqual([2]);
    expect(usesOf((g, a) => unary(g, 'Abs', mul(g, unary(g, 'Neg', a), one)))).toEqual([1]);
  });
});

describe('cutLongProducts', () => {
  const [rows, width] = [2500, 512];
  const a = [rows, width];
  const w = [width, width];
  const onlyGemms = (nodes: string[]) => nodes.filter((op) => op !== 'Gemm');

  function expectEqual(graph: Graph, cut: Graph): void {
    const [before, after] = [run(graph), run(cut)];
    expect(after.length).toBe(before.length);
    const distance = before.reduce((most, value, i) => Math.max(most, Math.abs(value - after[i]!)), 0);
    expect(distance).toBeLessThan(1e-3);
  }

  test('cuts the rows into equal parts of at most 512, each matrix once, and the bias where it has rows', () => {
    const twice = graphOf([a, w, a], (g, x, y, c) => add(g, matMul(g, add(g, matMul(g, x, y), c), y), x));
    const graph = removeDeadCode(fuseGemmBias(twice));
    const cut = cutLongProducts(graph);
    // 2500 rows in five parts. x is cut for the first product and as the second one's bias.
    expect(onlyGemms(ops(cut))).toEqual(['Split', 'Split', 'Concat', 'Split', 'Concat']);
    expect(ops(cut).length).toBe(5 + 2 * 5);
    expectEqual(graph, cut);
  });

  test('sums the parts of a product over the rows', () => {
    const graph = graphOf([a, a], (g, x, y) => matMul(g, x, y, { transposeA: true }));
    const cut = cutLongProducts(graph);
    expect(ops(cut)).toEqual(['Reshape', 'Reshape', 'Transpose', 'MatMul', 'ReduceSum']);
    expectEqual(graph, cut);
  });

  test('leaves fewer rows, narrow matrices, and rows without equal parts', () => {
    for (const shapes of [
      [[2047, width], w],
      [a, [width, 256]],
      [[2503, width], w],
    ]) {
      const graph = graphOf(shapes, (g, x, y) => matMul(g, x, y));
      expect(ops(cutLongProducts(graph))).toEqual(['Gemm']);
    }
  });
});

describe('equal parts of a value', () => {
  const doubled = (g: Builder, x: Value) => mul(g, x, fill(2, 'float32', []));
  const part = (g: Builder, x: Value, index: number, size: number) =>
    slice(g, x, [index * size, 0], [size, x.shape[1]!]);
  const cases: [string, Shape[], Build, string[]][] = [
    [
      'are made by one node, whichever is read first',
      [[6, 2]],
      (g, a) => concat(g, [part(g, a, 2, 2), doubled(g, part(g, a, 0, 2)), part(g, a, 1, 2)], 0),
      ['Split', 'Mul', 'Concat'],
    ],
    [
      'joined in their order are the value',
      [[4, 2]],
      (g, a) => doubled(g, concat(g, [part(g, a, 0, 2), part(g, a, 1, 2)], 0)),
      ['Mul'],
    ],
    [
      'joined in another order are not',
      [[4, 2]],
      (g, a) => concat(g, [part(g, a, 1, 2), part(g, a, 0, 2)], 0),
      ['Split', 'Concat'],
    ],
    [
      'of which one is not read stay',
      [[6, 2]],
      (g, a) => add(g, part(g, a, 0, 2), part(g, a, 2, 2)),
      ['Slice', 'Slice', 'Add'],
    ],
    [
      'stay where they overlap or are not equal',
      [[6, 2]],
      (g, a) => concat(g, [slice(g, a, [1, 0], [2, 2]), slice(g, a, [0, 0], [4, 2])], 0),
      ['Slice', 'Slice', 'Concat'],
    ],
    [
      'of another dimension stay',
      [[2, 4]],
      (g, a) => sub(g, slice(g, a, [0, 0], [2, 2]), slice(g, a, [0, 2], [2, 2])),
      ['Slice', 'Slice', 'Sub'],
    ],
    [
      'of two values joined are neither',
      [
        [4, 2],
        [4, 2],
      ],
      (g, a, b) => concat(g, [part(g, a, 0, 2), part(g, b, 1, 2)], 0),
      ['Slice', 'Slice', 'Concat'],
    ],
  ];
  test.each(cases)('%s', (_, shapes, build, expected) => {
    const graph = graphOf(shapes, build);
    const made = joinEqualParts(graph);
    expect(ops(made)).toEqual(expected);
    expect(run(made)).toEqual(run(graph));
  });
});
