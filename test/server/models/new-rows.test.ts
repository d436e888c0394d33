/** New rows in one run of primary and dynamic network: which requests are answered so, and that they are answered the same. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FusedNetwork, mayFuse } from '../../../server/models/fused-network.ts';
import { chooseNewRows, fasterFrom, runTimes } from '../../../server/models/new-rows.ts';
import { replayProbes } from '../../../server/models/probes.ts';
import { createRandom } from '../../../src/contract/random.ts';
import { withWebgpu } from '../../webgpu.ts';
import { metricLines, startTestServer, type TestServer } from '../fixtures.ts';

const sizes = { observationSize: 4, actionSize: 3, contextSize: 2, hiddenSize: 24, trunkSizes: [32] };
/** Equal packages under two names: what one was asked for does not make it known to the other. */
const packages = (['a', 'b'] as const).map((model) => ({
  model,
  policy: 'hyper' as const,
  critic: 'hyper' as const,
  stochastic: true,
  ...sizes,
}));

const normals = (seed: number, rowCount: number, size: number) => {
  const random = createRandom(seed);
  return { shape: [rowCount, size], values: Float32Array.from({ length: rowCount * size }, () => random.normal()) };
};

const states = (seed: number, rowCount: number) => ({
  observation: normals(seed, rowCount, sizes.observationSize),
  action: normals(seed + 1, rowCount, sizes.actionSize),
});

/** The largest |a - b| / (1 + the largest |b|). */
const difference = (actual: Float32Array, expected: Float32Array): number =>
  Math.max(...expected.map((value, i) => Math.abs(actual[i]! - value))) / (1 + Math.max(...expected.map(Math.abs)));

const tolerance = 1e-5;

/** However long a step took when the version was loaded: on a busy machine, or with a driver in software. */
function climbFused({ server }: TestServer, model: string): void {
  const { critic } = server.models.resolve('QGrad', { model, selection: { case: undefined } }, { caller: undefined });
  critic!.fused!.ascents = { rowCountMin: 1, timedRowCount: 1, startMs: 0, stepMs: 0 };
}

describe('with new rows fused', () => {
  let fused: TestServer;
  let kept: TestServer;
  beforeAll(async () => {
    fused = await startTestServer(packages, { newRows: 'fused' }, afterAll);
    kept = await startTestServer(packages, {}, afterAll);
    climbFused(fused, 'a');
  });

  /** Rows that a graph has run since `then`. */
  const rowsOf = async (graph: string, then = 0) => {
    const name = `hyperpolicy_batch_rows_sum{graph="${graph}"}`;
    return ((await metricLines(fused, name))[name] ?? 0) - then;
  };

  /** Rows that were run fused, and contexts that were generated, by what is asked. */
  async function ran(network: 'policy' | 'critic', ask: () => Promise<unknown>) {
    const graphs = [`${network}.fused`, `${network}.primary.onnx`];
    const [fusedBefore, generatedBefore] = await Promise.all(graphs.map((graph) => rowsOf(graph)));
    await ask();
    return { fused: await rowsOf(graphs[0]!, fusedBefore), generated: await rowsOf(graphs[1]!, generatedBefore) };
  }

  test('states are computed in one run, generated when they are asked again, and known after that; all answers agree', async () => {
    const request = { model: 'a', ...states(1, 9), reduction: 'min' as const };
    const expected = await kept.client.qGrad(request);
    const answers: (typeof expected)[] = [];
    const ask = async () => answers.push(await fused.client.qGrad(request));
    expect(await ran('critic', ask)).toEqual({ fused: 9, generated: 0 });
    expect(await ran('critic', ask)).toEqual({ fused: 0, generated: 9 });
    expect(await ran('critic', ask)).toEqual({ fused: 0, generated: 0 });
    for (const { q, dqDa } of answers) {
      expect(difference(q.values, expected.q.values)).toBeLessThan(tolerance);
      expect(difference(dqDa.values, expected.dqDa.values)).toBeLessThan(tolerance);
    }
    const [first, again] = answers;
    expect(first!.timing.primaryUs).toBe(0);
    expect(again!.timing.primaryUs).toBeGreaterThan(0);
  });

  test('observations that are a hundred times as large agree relative to the largest value, not each to its own', async () => {
    const { observation, action } = states(1, 9);
    const large = { shape: observation.shape, values: observation.values.map((value) => 100 * value) };
    const request = { model: 'a', observation: large, action };
    const [actual, expected] = await Promise.all([fused, kept].map(({ client }) => client.qGrad(request)));
    expect(difference(actual!.q.values, expected!.q.values)).toBeLessThan(tolerance);
    expect(difference(actual!.dqDa.values, expected!.dqDa.values)).toBeLessThan(tolerance);
  });

  test('a row agrees with itself alone, whichever rows share its run', async () => {
    const { observation, action } = states(3, 16);
    const [together, alone] = await Promise.all([
      fused.client.qGrad({ model: 'a', observation, action }),
      // At once, so that the server joins some of them.
      Promise.all(
        Array.from({ length: 16 }, (_, row) =>
          fused.client.qGrad({
            model: 'b',
            observation: observation.values.slice(row * sizes.observationSize, (row + 1) * sizes.observationSize),
            action: action.values.slice(row * sizes.actionSize, (row + 1) * sizes.actionSize),
          }),
        ),
      ),
    ]);
    const joined = Float32Array.from(alone.flatMap(({ dqDa }) => [...dqDa.values]));
    expect(difference(joined, together.dqDa.values)).toBeLessThan(tolerance);
  });

  test('mostly new rows run fused, known ones among them too; one state for many actions is generated', async () => {
    const { observation, action } = states(5, 6);
    const row = (i: number) => observation.values.slice(i * sizes.observationSize, (i + 1) * sizes.observationSize);
    const prepared = () =>
      fused.client.prepare({ model: 'a', observation: [row(0), row(1)].map((values) => [...values]) });
    expect(await ran('critic', prepared)).toEqual({ fused: 0, generated: 2 });
    expect(await ran('critic', () => fused.client.qGrad({ model: 'a', observation, action }))).toEqual({
      fused: 6,
      generated: 0,
    });
    const one = () => fused.client.qGrad({ model: 'a', observation: [9, 8, 7, 6], action });
    expect(await ran('critic', one)).toEqual({ fused: 0, generated: 1 });
  });

  test.each(['q1', 'min', 'mean'] as const)(
    'actions climb in the graph, and on the host at states that are asked again; reduction %s',
    async (reduction) => {
      const seed = { q1: 7, min: 20, mean: 30 }[reduction];
      const request = { model: 'a', ...states(seed, 3), reduction, ascent: { stepCount: 200, stepSize: 0.02 } };
      const expected = await kept.client.qGrad(request);
      const answers: (typeof expected)[] = [];
      const ask = async () => answers.push(await fused.client.qGrad(request));
      const runsBefore = await rowsOf('critic.ascent');
      expect(await ran('critic', ask)).toEqual({ fused: 0, generated: 0 });
      expect(await rowsOf('critic.ascent', runsBefore)).toBe(3);
      expect(await ran('critic', ask)).toEqual({ fused: 0, generated: 3 });
      expect(expected.action!.values).not.toEqual(request.action.values);
      for (const answer of answers) {
        for (const part of ['action', 'q', 'dqDa'] as const) {
          expect(difference(answer[part]!.values, expected[part]!.values)).toBeLessThan(tolerance);
        }
      }
    },
  );

  test('an ascent whose result is not finite is refused with what was sent, as on the host', async () => {
    const { observation, action } = states(40, 3);
    const huge = { shape: observation.shape, values: observation.values.map((value) => 1e37 * Math.sign(value)) };
    const request = { model: 'a', observation: huge, action, ascent: { stepCount: 2, stepSize: 0.02 } };
    for (const { client } of [fused, kept]) {
      await expect(client.qGrad(request)).rejects.toThrow(
        'some as large as 1.0e+37, of which it makes no finite result',
      );
    }
  });

  test('contexts, samples and log-probabilities of a policy likewise', async () => {
    const request = {
      model: 'a',
      observation: normals(8, 5, sizes.observationSize),
      context: normals(9, 5, sizes.contextSize),
      sample: true,
      seed: 3,
      logProb: true,
    };
    const expected = await kept.client.act(request);
    const answers: (typeof expected)[] = [];
    const ask = async () => answers.push(await fused.client.act(request));
    expect(await ran('policy', ask)).toEqual({ fused: 5, generated: 0 });
    expect(await ran('policy', ask)).toEqual({ fused: 0, generated: 5 });
    expect(await ran('policy', ask)).toEqual({ fused: 0, generated: 0 });
    for (const { action, logProb } of answers) {
      expect(difference(action.values, expected.action.values)).toBeLessThan(tolerance);
      expect(difference(logProb!.values, expected.logProb!.values)).toBeLessThan(tolerance);
    }
    const oneForAll = () => fused.client.act({ ...request, context: [0.25, 0.5] });
    expect(await ran('policy', oneForAll)).toEqual({ fused: 0, generated: 1 });
  });
});

withWebgpu(
  'a device serves critics of every kind: new states, ascents and known states as the CPU',
  { timeout: 240_000 },
  async () => {
    const models = (['plain', 'hyper'] as const).map((critic) => ({ ...packages[0]!, model: critic, critic }));
    const [onDevice, onCpu] = [
      await startTestServer(models, { device: 'webgpu', newRows: 'fused', runMsMax: 120_000, loadMsMax: 120_000 }),
      await startTestServer(models, {}),
    ];
    climbFused(onDevice, 'hyper');
    const name = 'hyperpolicy_batch_rows_sum';
    const rowsBefore = await metricLines(onDevice, name);
    for (const { model } of models) {
      for (const ascent of [undefined, { stepCount: 4, stepSize: 0.05 }]) {
        const request = { model, ...states(ascent === undefined ? 50 : 60, 5), ...(ascent && { ascent }) };
        const expected = await onCpu.client.qGrad(request);
        for (let time = 0; time < 2; time++) {
          const actual = await onDevice.client.qGrad(request, { timeoutMs: 60_000 });
          for (const part of ['q', 'dqDa', ...(ascent ? (['action'] as const) : [])] as const) {
            expect(difference(actual[part]!.values, expected[part]!.values)).toBeLessThan(tolerance);
          }
        }
      }
    }
    const rowsAfter = await metricLines(onDevice, name);
    for (const graph of ['critic.fused', 'critic.ascent']) {
      const line = `${name}{graph="${graph}"}`;
      expect(rowsAfter[line]! - rowsBefore[line]!, graph).toBe(5);
    }
  },
);

test('a policy whose weights do not depend on a context has one set of them, which always comes back: it is served as kept', async () => {
  const { observationSize, actionSize, hiddenSize } = sizes;
  const maml = { model: 'maml', policy: 'plain', critic: 'none', stochastic: true, adapt: true } as const;
  const started = await startTestServer([{ ...maml, observationSize, actionSize, hiddenSize }], { newRows: 'fused' });
  const { observation } = states(10, 5);
  const { client } = started;
  const first = await client.act({ model: 'maml', observation });
  expect((await client.act({ model: 'maml', observation })).action).toEqual(first.action);
  expect(first.action.values.some((value) => value !== 0)).toBe(true);
  expect(started.lines.find(({ msg }) => msg === 'model version ready')).toMatchObject({ fusedFrom: {} });
  expect(started.lines.filter(({ level }) => Number(level) > 30)).toEqual([]);
});

test('where the run of both fails in the probes, new rows are kept, and why is noted; where its values differ, the version is refused', async () => {
  const output = Promise.resolve({ action: Float32Array.of(2) });
  const open = (run: () => Promise<unknown>) => ({
    weights: { inputName: 'context', generate: async () => ({ entries: [] }) },
    fused: new FusedNetwork({ both: { run } as never }, []),
    run: () => output,
  });
  const tensor = (value: number) => ({ shape: [1, 1], values: [value] });
  const inputs = { observation: tensor(1), context: tensor(1) };
  const probe = { target: 'policy', inputs, outputs: { action: tensor(2) }, tolerance: 1e-4 } as const;
  const served = { model: 'm', version: 1, device: 'cuda', precision: 'float32', critic: null, adaptation: null };
  const failing = open(() => Promise.reject(new Error('If: no kernel')));
  await replayProbes({ ...served, policy: failing } as never, [probe]);
  expect(failing).toMatchObject({ fused: undefined, notFused: 'If: no kernel' });
  const wrong = open(async () => ({ action: { data: Float32Array.of(3) } }));
  await expect(replayProbes({ ...served, policy: wrong } as never, [probe])).rejects.toThrow(
    'm version 1, policy probe on cuda output "action": expected 2 at 0 within 0.0001, got 3',
  );
});

test('where a device cannot take steps, new rows run fused all the same, and ascents on the host; why is kept', async () => {
  const run = async () => ({});
  const climb = { run: () => Promise.reject(new Error('Loop: no kernel')) };
  const fused = new FusedNetwork({ both: { run }, climb: climb as never }, []);
  const sizes = { observationSize: 1, actionSize: 1 };
  await chooseNewRows({ device: 'cuda', critic: { fused, weights: {} }, ...sizes } as never, 'auto');
  expect(fused.noAscents).toBe('Loop: no kernel');
  const values = Float32Array.from({ length: 64 }, (_, i) => i);
  const found = { keys: Array.from(values, String), entries: Array(64).fill(undefined), values } as never;
  expect(fused.takesAscent(found, 64, 1)).toBe(false);
  expect(fused.takes(found, 64)).toBe(true);
});

test('on the CPU a policy keeps its weights, and for the critic both ways are timed when it is loaded', async () => {
  const started = await startTestServer([packages[0]!], { newRows: 'auto' });
  const name = 'hyperpolicy_model_version_fused_min_rows';
  const lines = await metricLines(started, name);
  expect(Object.keys(lines)).toEqual([`${name}{model="a",version="1",network="critic"}`]);
  expect([8, 64, Infinity]).toContain(Object.values(lines)[0]);
  const ready = started.lines.find(({ msg }) => msg === 'model version ready');
  expect(Object.keys(ready!.fusedFrom as object)).toEqual(['critic', 'ascent']);
  expect([64, null]).toContain((ready!.fusedFrom as { ascent: unknown }).ascent);
  expect(mayFuse('auto', 'cuda', 'policy')).toBe(true);
  expect(mayFuse('kept', 'cuda', 'critic')).toBe(false);
});

test('a step is not free where the run with steps happened to be the quicker one', () => {
  // 16 steps took 32 ms of 72; and 0.05 x 40 ms = 2 ms where they were not to be told from the spread of times.
  expect(runTimes({ none: 40, steps: 72 })).toEqual({ startMs: 40, stepMs: 2 });
  expect(runTimes({ none: 40, steps: 39 })).toEqual({ startMs: 40, stepMs: 0.125 });
});

test('an ascent runs fused if its rows are as many as were faster and its run takes 100 ms at most', () => {
  const network = new FusedNetwork({ both: {} as never }, []);
  let asked = 0;
  const takes = (rowCount: number, stepCount: number) => {
    const values = Float32Array.from({ length: rowCount }, () => ++asked);
    const keys = Array.from(values, String);
    return network.takesAscent({ keys, entries: keys.map(() => undefined), values } as never, rowCount, stepCount);
  };
  expect(takes(64, 1)).toBe(false);
  network.ascents = { rowCountMin: 16, timedRowCount: 64, startMs: 0, stepMs: 2 };
  expect([takes(15, 1), takes(16, 50), takes(64, 50), takes(64, 51), takes(128, 25), takes(128, 26)]).toEqual([
    false,
    true,
    true,
    false,
    true,
    false,
  ]);
  // The primary's share counts: a large request of one step would hold a thread for seconds.
  network.ascents = { rowCountMin: 16, timedRowCount: 64, startMs: 40, stepMs: 2 };
  expect([takes(64, 30), takes(64, 31), takes(152, 1), takes(153, 1), takes(4096, 1)]).toEqual([
    ...[true, false, true, false, false],
  ]);
});

describe('fasterFrom', () => {
  /** Ways that take so many milliseconds for so many rows. */
  const timed = async (fused: (rows: number) => number, kept: (rows: number) => number) => {
    let nowMs = 0;
    let runCount = 0;
    const way = (ms: (rows: number) => number) => async (rows: number) => {
      nowMs += ms(rows);
      runCount++;
    };
    return { from: await fasterFrom({ fused: way(fused), kept: way(kept) }, () => nowMs), runCount };
  };

  test('the first number of rows at which fused saves 5 %', async () => {
    expect(
      await timed(
        () => 1,
        () => 2,
      ),
    ).toEqual({ from: 8, runCount: 6 });
    expect(
      await timed(
        (rows) => 5 + rows / 2,
        (rows) => rows,
      ),
    ).toEqual({ from: 64, runCount: 12 });
    expect(
      (
        await timed(
          () => 0.96,
          () => 1,
        )
      ).from,
    ).toBe(Number.POSITIVE_INFINITY);
  });

  test('one round if a round takes long', async () => {
    expect(
      (
        await timed(
          () => 1000,
          () => 1000,
        )
      ).runCount,
    ).toBe(2);
  });
});
