/** What we write is ONNX to others too: Python's onnx package checks whole graphs. Its interpreter may be named in HYPERPOLICY_PYTHON. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, expect } from 'vitest';
import { plainSpec } from '../../src/contract/tensor-spec.ts';
import { encode } from '../../src/onnx/encode.ts';
import type { Graph } from '../../src/onnx/graph.ts';
import { repeated } from '../../src/onnx/loop.ts';
import { optimise } from '../../src/onnx/passes/index.ts';
import { type TracedFunction, trace } from '../../src/trace/trace.ts';
import { td3Defaults } from '../../trainer/algorithms/td3/config.ts';
import { createTd3Learner } from '../../trainer/algorithms/td3/learner.ts';
import type { BoundInput, Engine } from '../../trainer/engine/engine.ts';
import { testWith } from '../requirements.ts';
import { operatorGraphs } from '../trace/operator-graphs.ts';

const python = process.env.HYPERPOLICY_PYTHON ?? 'python3';
const hasChecker = spawnSync(python, ['-c', 'import onnx']).status === 0;
const withChecker = testWith(hasChecker, "Python's onnx package", 'Run python3 -m pip install onnx');

const directory = mkdtempSync(join(tmpdir(), 'hyperpolicy-onnx-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The checker's lines for these graphs; it fails on the first that is wrong, with its reason. */
function check(graphs: readonly Graph[]): string[] {
  const paths = graphs.map((graph, i) => {
    const path = join(directory, `${i}-${graph.name}.onnx`);
    writeFileSync(path, encode(graph));
    return path;
  });
  const script = fileURLToPath(new URL('check-model.py', import.meta.url));
  return execFileSync(python, [script, ...paths], { encoding: 'utf8' })
    .trim()
    .split('\n');
}

withChecker('whole TD3 steps, and several updates in one run, are standard ONNX', () => {
  const graphs: Graph[] = [];
  const idle = { run() {}, dispose() {} };
  const traced = (name: string, inputs: Readonly<Record<string, BoundInput>>, fn: TracedFunction) => {
    const specs = Object.fromEntries(Object.entries(inputs).map(([input, { shape }]) => [input, { shape }]));
    return optimise(trace(name, specs, fn));
  };
  const engine: Engine = {
    name: 'collecting',
    compile({ name, inputs, fn }) {
      graphs.push(traced(name, inputs, fn));
      return idle;
    },
    compileRepeated({ name, passCount, state, slices, pass }) {
      graphs.push(repeated(traced(name, { ...state, ...slices }, pass), passCount, new Set(Object.keys(slices))));
      return idle;
    },
  };
  const specs = {
    observation: plainSpec('observation', 17),
    action: plainSpec('action', 6, { low: -1, high: 1 }),
    context: null,
  };
  for (const critic of [{ architecture: 'mlp-standard' }, { architecture: 'sa-hyper', trunkSizes: [16] }]) {
    for (const updatesPerRun of [1, 4]) {
      createTd3Learner({ config: td3Defaults(critic), specs, engine, seed: 1, updatesPerRun });
    }
  }
  // An actor and two steps, or an actor and a run, of each.
  expect(check(graphs)).toEqual(Array(10).fill('ok'));
});

withChecker('a symbolic batch is standard ONNX, constants of its size included', () => {
  const graph = trace('symbolic', { x: { shape: ['B', 3] } }, ({ x }) => {
    const q = (v: tf.Tensor) => tf.sum(tf.tanh(tf.mean(tf.concat([v, tf.ones(v.shape)], 1), 1)));
    return { gradient: tf.grad(q)(x!), ones: tf.ones(x!.shape) };
  });
  expect(check([optimise(graph)])).toEqual(['ok']);
});

withChecker('every operator is standard ONNX, in first and second order', () => {
  const graphs = operatorGraphs();
  expect(check(graphs.map(optimise))).toEqual(Array(graphs.length).fill('ok'));
});
