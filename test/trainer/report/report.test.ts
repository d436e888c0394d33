/** What is said of several runs: statistics, curves, the page. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createRandom } from '../../../src/contract/random.ts';
import { learningCurves } from '../../../trainer/report/curves.ts';
import { reportPage } from '../../../trainer/report/report.ts';
import { type Run, readRuns } from '../../../trainer/report/runs.ts';
import { bootstrapInterval, interquartileMean, mean, standardDeviation } from '../../../trainer/report/statistics.ts';
import { train } from '../../../trainer/train.ts';
import { writeMamlRun, writePearlRun, writeRun } from './runs.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'report-test-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Of whole runs: nothing is told. */
const read = (paths: readonly string[]) => readRuns(paths, expect.unreachable);
const panelsOf = (runs: readonly Run[], metric?: string) => learningCurves(runs, metric).panels;

describe('statistics', () => {
  test('are those of arithmetic', () => {
    expect(standardDeviation([1, 2, 6])).toBeCloseTo(Math.sqrt((4 + 1 + 9) / 2), 12);
    expect(standardDeviation([4])).toBe(0);
    // Of 9 values int(9 / 4) = 2 are cut at each end.
    expect(interquartileMean([9, 1, 2, 3, 4, 5, 6, 7, 100])).toBe(5);
    // Of 3 none is.
    expect(interquartileMean([1, 2, 9])).toBe(4);
  });

  test('a bootstrap interval is that of the means of all samples, for few values', () => {
    // Of two values a mean is 0, 5 or 10 with probability 1/4, 1/2, 1/4.
    expect(bootstrapInterval([0, 10], mean, { random: createRandom(1) })).toEqual({ low: 0, high: 10 });
    expect(bootstrapInterval([0, 10], mean, { random: createRandom(1), level: 0.4 })).toEqual({ low: 5, high: 5 });
    expect(bootstrapInterval([3], mean, { random: createRandom(1) })).toEqual({ low: 3, high: 3 });
    // Normal: 1.96 / sqrt(n) each way.
    const random = createRandom(2);
    const values = Array.from({ length: 400 }, () => random.normal());
    const { low, high } = bootstrapInterval(values, mean, { random, sampleCount: 2000 });
    expect(high - low).toBeGreaterThan(0.16);
    expect(high - low).toBeLessThan(0.24);
  });
});

describe('curves of runs', () => {
  test('runs of several seeds are one, at the steps that all of them reach', async () => {
    await writeRun(folder, { seed: 0, returns: { 0: 10, 100: 20, 200: 30 } });
    await writeRun(folder, { seed: 1, returns: { 0: 20, 100: 40 } });
    // Evaluated at other steps: 15 at 50 and 25 at 150 make 20 at 100.
    await writeRun(folder, { seed: 2, returns: { 0: 0, 50: 15, 150: 25 } });
    const [panel, ...others] = panelsOf(await read([folder]));
    expect(others).toEqual([]);
    expect(panel).toMatchObject({ title: 'Pendulum-v1', subtitle: 'mean and standard deviation over the seeds' });
    const [curve] = panel!.curves;
    expect(curve!.label).toBe('td3 mlp-small (3 seeds)');
    expect(curve!.points.map(({ step }) => step)).toEqual([0, 50, 100]);
    expect(curve!.points[0]).toEqual({ step: 0, mean: 10, spread: 10 });
    expect(curve!.points[2]!.mean).toBeCloseTo(80 / 3, 12);
  });

  test('are of the seeds that make them longest together; the others are named', async () => {
    await writeRun(folder, { seed: 0, returns: { 0: 10, 100: 20, 200: 30, 300: 40 } });
    await writeRun(folder, { seed: 1, returns: { 0: 20 } });
    await writeRun(folder, { seed: 2, returns: {} });
    const runs = await read([folder]);
    // 1 x 300 steps are more than 2 x 0.
    expect(learningCurves(runs)).toMatchObject({
      panels: [{ curves: [{ label: 'td3 mlp-small (seed 0)', points: [0, 100, 200, 300].map((step) => ({ step })) }] }],
      notes: [
        'Pendulum-v1-mlp-small-100-seed2 is in no curve: it has no evaluation yet',
        'Pendulum-v1-mlp-small-100-seed1 (at step 0) is left out of the curve of td3 mlp-small (seed 0), which reaches step 300',
      ],
    });
    expect(await reportPage(runs)).toContain(
      '<p class="note">Pendulum-v1-mlp-small-100-seed2 is in no curve: it has no evaluation yet.</p>',
    );
    // 2 x 200 are more than 1 x 300, and than 3 x 0.
    await writeRun(folder, { seed: 2, returns: { 0: 10, 100: 20, 200: 50 } });
    expect(learningCurves(await read([folder]))).toMatchObject({
      panels: [{ curves: [{ label: 'td3 mlp-small (2 seeds)', points: [{ mean: 10 }, { mean: 20 }, { mean: 40 }] }] }],
      notes: [
        'Pendulum-v1-mlp-small-100-seed1 (at step 0) is left out of the curve of td3 mlp-small (2 seeds), which reaches step 200',
        'the curve of td3 mlp-small (2 seeds) ends at step 200 with Pendulum-v1-mlp-small-100-seed2; further than that: Pendulum-v1-mlp-small-100-seed0 (at step 300)',
      ],
    });
  });

  // Seconds where each step looks through whole curves.
  test('of many training episodes are drawn at once', { timeout: 5000 }, async () => {
    const [run] = await read([await writeRun(folder, { seed: 0, returns: {} })]);
    const seeds = [0, 1, 2].map((seed): Run => {
      const records = Array.from({ length: 30_000 }, (_, i) => ({ step: 3 * i + seed, seconds: 1, episodeReturn: i }));
      return { ...run!, seed, records };
    });
    const [curve] = panelsOf(seeds, 'episodeReturn')[0]!.curves;
    expect(curve!.points).toHaveLength(3 * 30_000 - 4);
    // At step 3 they are 1, 2/3 and 1/3.
    expect(curve!.points[1]).toMatchObject({ step: 3, mean: expect.closeTo(2 / 3, 12) });
  });

  test('are told of in the unit of their runs', async () => {
    const point = [1, 10] as const;
    await writeMamlRun(folder, 0, [point, point, point]);
    await writeMamlRun(folder, 1, [point]);
    expect(learningCurves(await read([folder])).notes).toEqual([
      'maml-seed1 (at iteration 0) is left out of the curve of maml (seed 0), which reaches iteration 20',
    ]);
  });

  test('of an environment whose runs have no evaluation yet are no panel', async () => {
    await writeRun(folder, { seed: 0, returns: { 0: 1 } });
    await writeRun(folder, { seed: 0, returns: {}, environment: 'Hopper-v5' });
    const { panels, notes } = learningCurves(await read([folder]));
    expect(panels.map(({ title }) => title)).toEqual(['Pendulum-v1']);
    expect(notes).toEqual(['Hopper-v5-mlp-small-100-seed0 is in no curve: it has no evaluation yet']);
  });

  test('are told apart by what differs, with the deviation of the episodes for one seed', async () => {
    const paths = [
      await writeRun(folder, { seed: 0, returns: { 0: 1 } }),
      await writeRun(folder, { seed: 0, returns: { 0: 2 }, batchSize: 32 }),
      await writeRun(folder, { seed: 4, returns: { 0: 3 }, critic: 'sa-hyper' }),
      await writeRun(folder, { seed: 0, returns: { 0: 4 }, environment: 'Hopper-v5' }),
    ];
    const panels = panelsOf(await read(paths));
    expect(panels.map(({ title, curves }) => [title, curves.map(({ label }) => label)])).toEqual([
      [
        'Pendulum-v1',
        ['td3 mlp-small, batchSize 100 (seed 0)', 'td3 mlp-small, batchSize 32 (seed 0)', 'td3 sa-hyper (seed 4)'],
      ],
      ['Hopper-v5', ['td3 mlp-small (seed 0)']],
    ]);
    expect(panels[0]!.curves[0]!.points).toEqual([{ step: 0, mean: 1, spread: 5 }]);
    expect(panels[0]!.subtitle).toBe("mean and standard deviation of the evaluation's returns");
  });

  test('of a policy that adapts are two, after adaptation and before it, with the spread over the seeds', async () => {
    await writeMamlRun(folder, 0, [
      [1, 10],
      [3, 30],
    ]);
    const runs = await read([folder]);
    expect(panelsOf(runs)[0]!.curves).toEqual([
      {
        label: 'maml (seed 0)',
        phase: 'after adaptation',
        points: [
          { step: 0, mean: 10, spread: 5 },
          { step: 10, mean: 30, spread: 5 },
        ],
      },
      {
        label: 'maml (seed 0)',
        phase: 'before adaptation',
        points: [
          { step: 0, mean: 1, spread: 2 },
          { step: 10, mean: 3, spread: 2 },
        ],
      },
    ]);
    expect(panelsOf(runs, 'testPreReturn')[0]!.curves.map(({ phase }) => phase)).toEqual([undefined]);
    await writeMamlRun(folder, 1, [
      [3, 10],
      [5, 30],
    ]);
    const [after, before] = panelsOf(await read([folder]))[0]!.curves;
    expect(after).toMatchObject({ label: 'maml (2 seeds)', points: [{ spread: 0 }, { spread: 0 }] });
    // Of 1 and 3, and of 3 and 5: deviations of 1 on either side, (1 + 1) / (2 - 1) = 2 squared.
    expect(before!.points).toEqual([
      { step: 0, mean: 2, spread: Math.SQRT2 },
      { step: 10, mean: 4, spread: Math.SQRT2 },
    ]);
  });

  test('of policies that do not adapt are one, as are their columns of the page', async () => {
    await writeMamlRun(folder, 0, [[1, 10]], 'multi-task-hyper');
    await writePearlRun(folder, 'no-context', [[2, 20]]);
    await writePearlRun(folder, 'oracle-context', [[3, 30]]);
    const labels = ['maml multi-task-hyper (seed 0)', 'pearl no-context (seed 0)', 'pearl oracle-context (seed 0)'];
    const curves = labels.map((label, i) => ({ label, points: [{ step: 0, mean: 10 * (i + 1), spread: 5 }] }));
    expect(panelsOf(await read([folder]))[0]!.curves).toEqual(curves);
    expect(await reportPage(await read([folder]))).not.toMatch(/<th>[^<]*adaptation/);
    await writePearlRun(folder, 'pearl', [[4, 40]]);
    expect(panelsOf(await read([folder]))[0]!.curves.flatMap(({ phase }) => phase ?? [])).toEqual([
      'after adaptation',
      'before adaptation',
    ]);
  });

  test('are one wherever and however safely they ran', async () => {
    await writeRun(folder, { seed: 0, returns: { 0: 1 }, loop: { collectorThreadCount: 0, checkpointInterval: 10 } });
    await writeRun(folder, { seed: 1, returns: { 0: 2 }, loop: { collectorThreadCount: 3 } });
    const [panel] = panelsOf(await read([folder]));
    expect(panel!.curves.map(({ label }) => label)).toEqual(['td3 mlp-small (2 seeds)']);
  });

  test('are one where a setting is given as it is without it, or is not read, also in configs that lack the defaults', async () => {
    const write = async (seed: number, critic: { architecture: string; [option: string]: unknown }, others = {}) => {
      const directory = await writeRun(folder, { seed, critic: critic.architecture, returns: { 0: 1 } });
      const path = join(directory, 'config.json');
      const config = JSON.parse(readFileSync(path, 'utf8'));
      writeFileSync(path, JSON.stringify({ ...config, algorithm: { ...config.algorithm, ...others, critic } }));
    };
    await write(0, { architecture: 'sa-hyper' });
    await write(1, { architecture: 'sa-hyper', dynamicHiddenSizes: [256] });
    await write(2, { initialisation: 'hyperl', architecture: 'sa-hyper', trunkLayerNorm: false });
    await write(3, { architecture: 'sa-hyper', headRank: 4 });
    await write(0, { architecture: 'mlp-small' });
    await write(1, { architecture: 'mlp-small', trunkSizes: [64] }, { hyperPolicy: { trunkSizes: [8] } });
    await write(2, { architecture: 'mlp-small', hiddenSizes: [256] });
    const runs = await read([folder]);
    expect(panelsOf(runs)[0]!.curves.map(({ label }) => label)).toEqual([
      'td3 mlp-small (3 seeds)',
      'td3 sa-hyper (3 seeds)',
      'td3 sa-hyper, headRank 4 (seed 3)',
    ]);
    const text = await reportPage(runs);
    expect(text).toContain(
      '<td>algorithm.critic.dynamicHiddenSizes</td><td>–</td><td class="number">256</td><td class="number">256</td>',
    );
    expect(text).not.toContain('hyperPolicy');
  });

  test('of a run that is not of this project have the settings that it gives, without defaults', async () => {
    const algorithm = { name: 'sac', critic: { architecture: 'stable-baselines3' }, learning_rate: 3e-4 };
    const own = await writeRun(folder, { seed: 0, returns: { 0: 1 } });
    const config = { environment: 'Pendulum-v1', threadCount: 1, algorithm, loop: { stepCount: 60, seed: 0 } };
    writeFileSync(join(own, 'config.json'), JSON.stringify(config));
    const runs = await read([own]);
    expect(panelsOf(runs)[0]!.curves[0]!.label).toBe('sac stable-baselines3 (seed 0)');
    expect((await reportPage(runs)).match(/(?<=<td>)(environment|algorithm\.|loop\.)[^<]*/g)).toEqual([
      'environment',
      'algorithm.name',
      'algorithm.critic.architecture',
      'algorithm.learning_rate',
      'loop.stepCount',
    ]);
  });

  test('are one where a run is longer, or was evaluated at other steps; the page has both', async () => {
    await writeRun(folder, { seed: 0, returns: { 0: 1, 60: 2 }, loop: { stepCount: 60 } });
    await writeRun(folder, { seed: 1, returns: { 0: 1, 60: 4, 80: 9 }, loop: { stepCount: 80 } });
    await writeRun(folder, {
      seed: 2,
      returns: { 0: 1, 30: 2, 60: 6 },
      loop: { stepCount: 60, evaluationInterval: 30 },
    });
    const runs = await read([folder]);
    expect(panelsOf(runs)[0]!.curves).toMatchObject([
      { label: 'td3 mlp-small (3 seeds)', points: [{ step: 0 }, { step: 30 }, { step: 60, mean: 4 }] },
    ]);
    const text = await reportPage(runs);
    expect(text).toMatch(/<td>loop\.stepCount<\/td><td[^>]*>60 or 80<\/td>/);
    expect(text).toMatch(/<td>loop\.evaluationInterval<\/td><td[^>]*>5000 or 30<\/td>/);
  });

  test('of iterations are one where a run is longer', async () => {
    const directory = await writeMamlRun(folder, 0, [[1, 10]]);
    await writeMamlRun(folder, 1, [[1, 10]]);
    const path = join(directory, 'config.json');
    const config = JSON.parse(readFileSync(path, 'utf8'));
    const loop = { ...config.loop, iterationCount: 7, evaluationInterval: 3, checkpointInterval: 2 };
    writeFileSync(path, JSON.stringify({ ...config, loop }));
    expect(panelsOf(await read([folder]))[0]!.curves[0]!.label).toBe('maml (2 seeds)');
  });

  test('say so where a seed was run twice', async () => {
    const paths = [
      await writeRun(folder, { seed: 3, returns: { 0: 1 } }),
      await writeRun(join(folder, 'again'), { seed: 3, returns: { 0: 1 } }),
    ];
    const labelsOf = async (list: string[]) =>
      panelsOf(await read(list)).flatMap(({ curves }) => curves.map(({ label }) => label));
    expect(await labelsOf(paths)).toEqual(['td3 mlp-small (2 runs of seed 3)']);
    paths.push(await writeRun(folder, { seed: 4, returns: { 0: 1 } }));
    expect(await labelsOf(paths)).toEqual(['td3 mlp-small (3 runs of 2 seeds)']);
  });

  test('refuse a metric that no run has, and a folder without runs', async () => {
    await writeRun(folder, { seed: 0, returns: { 0: 1 } });
    const runs = await read([folder]);
    expect(() => panelsOf(runs, 'evaluationretrun')).toThrow(
      '--metric: expected one of seconds, evaluationReturn, evaluationStandardDeviation, got "evaluationretrun"',
    );
    await expect(read([join(folder, 'none')])).rejects.toThrow(
      `${join(folder, 'none')}: expected a run directory, or a folder with some, got nothing there`,
    );
  });
});

describe('broken and young runs', () => {
  const broken = (name: string, text: string): string => {
    const directory = join(folder, name);
    mkdirSync(directory);
    writeFileSync(join(directory, 'config.json'), text);
    return directory;
  };
  const remedy = 'train.log has the settings of each start; write them back, or begin another run';

  test('runs without an evaluation are told as such', async () => {
    await writeRun(folder, { seed: 0, returns: {} });
    const message =
      'learning curves of a run: expected at least one evaluation, got none: no run has an evaluation yet';
    const runs = await read([folder]);
    expect(() => learningCurves(runs)).toThrow(message);
    expect(() => learningCurves(runs, 'episodeReturn')).toThrow(message);
    await expect(reportPage(runs)).rejects.toThrow(message);
  });

  test('a broken run of a folder is left out with a line; named itself, it is refused', async () => {
    const whole = await writeRun(folder, { seed: 0, returns: { 0: 1 } });
    const empty = broken('empty', '');
    const half = broken('half', '{"environment": "Pendulum-v1", "algorithm": {"name": "td3"}, "loop": {}}');
    const metrics = await writeRun(folder, { seed: 1, returns: { 0: 1 } });
    writeFileSync(join(metrics, 'metrics.jsonl'), 'no record\n{"step":1,"seconds":1}\n');
    const told: string[] = [];
    const runs = await readRuns([folder], (line) => told.push(line));
    expect(runs.map(({ directory }) => directory)).toEqual([whole]);
    const refusal = `${join(empty, 'config.json')}: expected the config of a run, got an empty file. ${remedy}`;
    expect(told).toEqual([
      expect.stringMatching(
        `^left out ${metrics}: .*expected an object of numbers with step and seconds, got no record`,
      ),
      `left out ${empty}: ${refusal}`,
      expect.stringMatching(
        `^left out ${half}: ${half}/config.json: expected an algorithm with its settings, got one `,
      ),
    ]);
    for (const paths of [[empty], [folder, empty], [empty, folder]]) {
      await expect(readRuns(paths, () => {})).rejects.toThrow(refusal);
    }
  });

  test('a folder of broken runs alone is refused, as is a file', async () => {
    const path = join(broken('empty', ''), 'config.json');
    await expect(readRuns([folder], () => {})).rejects.toThrow(
      `${folder}: expected a folder with at least one run that can be read, got 1 that cannot. Standard error says of each why`,
    );
    await expect(read([path])).rejects.toThrow(`${path}: expected a run directory, or a folder with some, got a file`);
  });
});

test('the page marks the best of many, has the last beside it, and loads nothing', async () => {
  const loop = { warmUpStepCount: 0 };
  await writeRun(folder, { seed: 0, loop, returns: { 0: 10, 100: 1230, 200: 30 } });
  await writeRun(folder, { seed: 1, loop, returns: { 0: 20, 100: 40 }, batchSize: 32 });
  const text = await reportPage(await read([folder]));
  expect(text).toContain('<td>1,230.0 ± 5.0 at 100, best of 2</td>');
  expect(text).toContain('<td>30.0 ± 5.0 at 200</td>');
  expect(text).toContain(
    '<tr class="marked"><td>algorithm.batchSize</td><td class="number">100</td><td class="number">32</td></tr>',
  );
  expect(text).toContain('no pictures (nothing is published)');
  expect(text).toContain('<svg');
  expect(text).not.toMatch(/(src|href)="(?!data:)/);
});

test('returns below 1 are told apart', async () => {
  await writeRun(folder, { seed: 0, returns: { 0: 0.68, 100: 0.72 }, deviation: 0.02 });
  const text = await reportPage(await read([folder]));
  expect(text).toContain('<td>0.720 ± 0.020 at 100</td>');
  const cells = ['0', '0.680', '0.020'].map((value) => `<td class="number">${value}</td>`);
  expect(text).toContain(`<tr>${cells.join('')}</tr>`);
});

test('the best evaluation is one with a finite return', async () => {
  const returns = { 0: 10, 100: 1230, 200: Number.NaN };
  await writeRun(folder, { seed: 0, loop: { warmUpStepCount: 0 }, returns });
  expect(await reportPage(await read([folder]))).toContain('1,230.0 ± 5.0 at 100, best of 2');
});

test('an evaluation of the warm-up is the best of none, also of a run that ended in it', async () => {
  const returns = { 0: 5000, 100: 30, 200: 20 };
  await writeRun(folder, { seed: 0, loop: { warmUpStepCount: 50 }, returns });
  await writeRun(folder, { seed: 1, loop: { warmUpStepCount: 200 }, returns });
  const text = await reportPage(await read([folder]));
  expect(text).toContain('<td>30.0 ± 5.0 at 100, best of 2</td>');
  expect(text).toContain('<td>none after the warm-up</td>');
});

test('the best that chose the published policy is that of the evaluations after the warm-up until it was published', async () => {
  const runDirectory = join(folder, 'runs', 'pendulum');
  const algorithm = { name: 'td3', critic: { architecture: 'mlp-small' }, actorHiddenSizes: [8], batchSize: 4 };
  const lengthOf = (stepCount: number, which: 'best' | 'none', resume: boolean) =>
    train({
      config: {
        environment: 'Pendulum-v1',
        algorithm,
        loop: { stepCount, warmUpStepCount: 20, evaluationInterval: 10, evaluationEpisodeCount: 1 },
        threadCount: 1,
        publish: { store: join(folder, 'store'), model: 'pendulum', which },
      },
      ...{ runDirectory, resume, stream: { write: () => true } },
    });
  // Evaluations at 0, 10, 20 (warm-up), 30 and 40; then at 50.
  await lengthOf(40, 'best', false);
  await lengthOf(50, 'none', true);
  const text = await reportPage(await read([runDirectory]));
  expect(text).toMatch(/ at [34]0, best of 2 \(chose the published policy\)<\/td>/);
  expect(text).toContain('(6)</summary>');
}, 60_000);

test('evaluations of a policy that adapts have their returns before adaptation', async () => {
  await writeMamlRun(folder, 0, [[-30, -10]]);
  const text = await reportPage(await read([folder]));
  const heads = ['before', 'after'].map(
    (phase) => `<th>mean return ${phase} adaptation</th><th>standard deviation</th>`,
  );
  expect(text).toContain(`<th>iterations</th>${heads.join('')}</tr>`);
  const cells = ['0', '-30.0', '2.0', '-10.0', '5.0'].map((value) => `<td class="number">${value}</td>`);
  expect(text).toContain(`<tr>${cells.join('')}</tr>`);
});

const tinyPearl = { trainTaskCount: 2, taskCount: 1, initialStepCount: 20, updateCount: 2, explorationEpisodeCount: 2 };

test.each([
  [
    'maml',
    { policy: 'maml', taskCount: 2, episodeCount: 2, hiddenSizes: [8] },
    ['actions are samples', 'actions are samples'],
  ],
  [
    'pearl',
    { agent: 'pearl', ...tinyPearl },
    ['its context is drawn from the prior', 'its context is drawn from the posterior'],
  ],
])(
  'the page has an episode of %s before adaptation and one after it, and both returns',
  async (name, settings, acts) => {
    const model = `tiny-${name}`;
    await train({
      config: {
        environment: 'Point-Robot',
        algorithm: { name, ...settings },
        loop: { seed: 1, iterationCount: 1, evaluationTaskCount: 2, evaluationEpisodeCount: 2 },
        threadCount: 1,
        publish: { store: join(folder, 'store'), model, which: 'best' },
      },
      runDirectory: join(folder, 'runs', model),
      stream: { write: () => true },
    });
    const text = await reportPage(await read([join(folder, 'runs')]));
    // The evaluation before the first iteration chooses nothing.
    expect(text).toContain(' at 1, best of 1 (chose the published policy)</td>');
    const captions = [...text.matchAll(/<figure><img [^>]*><figcaption>(.*?)<\/figcaption>/g)].map(
      ([, caption]) => caption!,
    );
    const episode = 'return -\\d+\\.\\d+ in 20 steps; task: goal\\.x -?[\\d.]+, goal\\.y -?[\\d.]+';
    expect(captions).toEqual([
      expect.stringMatching(`^${model}, before adaptation \\(${acts[0]}\\): ${episode}$`),
      expect.stringMatching(`^${model}, after adaptation to 2 episodes of the same task \\(${acts[1]}\\): ${episode}$`),
    ]);
    const [before, after] = captions.map((caption) => caption.split('; ')[1]);
    expect(after).toBe(before);
    expect(text).toContain(
      '<th>mean return before adaptation</th><th>standard deviation</th><th>mean return after adaptation</th><th>standard deviation</th></tr>',
    );
  },
  120_000,
);

test('the page has the return on tasks out of the training range, where there are such', async () => {
  await writeRun(folder, { seed: 0, returns: { 100: 30 }, outOfRangeReturn: -1234.5 });
  const text = await reportPage(await read([folder]));
  expect(text).toContain('<th>mean return on tasks out of the training range</th>');
  expect(text).toContain('<td class="number">5.0</td><td class="number">-1,234.5</td></tr>');
});
