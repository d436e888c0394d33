/** The study of gradient noise: the statistics by hand, equal seeds, equal updates, and that nothing is changed. */

import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { disposeParts, openParts, restoreLearner } from '../../../trainer/algorithms/maml/parts.ts';
import { loadAlgorithm } from '../../../trainer/algorithms/registry.ts';
import { measureUpdates, studyGradientNoise } from '../../../trainer/analysis/gradient-noise.ts';
import { createVectorSpread, returnSpread } from '../../../trainer/analysis/spread.ts';
import { withSetup } from '../../../trainer/analysis/studied-run.ts';
import { completeConfig } from '../../../trainer/run/complete-config.ts';
import { loadLearner } from '../../../trainer/run/kept-learners.ts';
import { readRunConfig } from '../../../trainer/run/run-directory.ts';
import { train } from '../../../trainer/train.ts';

let scratch: string;
let run: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'gradient-noise-test-'));
  run = join(scratch, 'run');
  await trainSmall(run, 3, [1]);
}, 120_000);
afterAll(() => rm(scratch, { recursive: true }));

/** @param keptSteps iterations after which the learner is kept */
const trainSmall = (runDirectory: string, iterationCount: number, keptSteps?: readonly number[], resume = false) =>
  train({
    config: {
      environment: 'Point-Robot',
      algorithm: { name: 'maml', ...{ policy: 'maml', hiddenSizes: [8], taskCount: 3, episodeCount: 2 } },
      loop: { iterationCount, evaluationTaskCount: 2, evaluationEpisodeCount: 2, seed: 4 },
      ...{ threadCount: 1, ...(keptSteps && { keptSteps }) },
    },
    ...{ runDirectory, resume },
    stream: { write: () => true },
  });

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) => Buffer.from(buffer, byteOffset, byteLength);

const silent = { report: () => {}, print: () => {} };

const study = (more: Partial<Parameters<typeof studyGradientNoise>[0]> = {}) =>
  studyGradientNoise({ runDirectory: run, updateCount: 3, progress: silent, ...more });

/** Contents and times of all files. */
async function filesOf(directory: string): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    found[path] = [(await stat(path)).mtimeMs, entry.isFile() ? (await readFile(path)).toString('base64') : 'folder'];
  }
  return found;
}

describe('a study', () => {
  test('gives the same for the same seed, other updates for another, and leaves the run as it was', async () => {
    const before = await filesOf(run);
    const lines: string[] = [];
    const first = await study({ progress: { ...silent, print: (line) => lines.push(line) } });
    expect(first).toMatchObject({ step: 3, seed: 304, environment: 'Point-Robot', policy: 'maml' });
    expect(lines.map((line) => line.split(':')[0])).toEqual([
      ...['without an update', 'update 1 of 3', 'update 2 of 3', 'update 3 of 3'],
    ]);
    expect(new Set(first.updates.map(({ postReturn }) => postReturn)).size).toBe(3);
    expect(first.postReturn.variance).toBeGreaterThan(0);
    expect(first.update.relativeSpread).toBeGreaterThan(0);
    expect(await study({ seed: 304 })).toEqual(first);
    const other = await study({ seed: 5 });
    expect(other.updates[0]!.norm).not.toBe(first.updates[0]!.norm);
    expect(await filesOf(run)).toEqual(before);
  }, 120_000);

  test('is of the step that is named, if it was kept', async () => {
    const [kept, newest] = [await study({ step: 1 }), await study()];
    expect(kept.step).toBe(1);
    expect(kept.start).not.toEqual(newest.start);
    await expect(study({ step: 2 })).rejects.toThrow(
      `run directory "${run}": expected a learner of iteration 2, got those of iterations 1, 3. Name one of its iterations, or keep this one: train with --keep-at 2`,
    );
  }, 120_000);

  test('refuses what is no run, and a run of another algorithm', async () => {
    await expect(study({ runDirectory: scratch })).rejects.toThrow(
      `analyse noise: run directory "${scratch}": expected a run, got no config.json. Name the directory of a run of "hyperpolicy train maml"`,
    );
    const config = { environment: 'Pendulum-v1', algorithm: { name: 'td3' }, loop: {} };
    const other = await mkdtemp(join(scratch, 'td3-'));
    await writeFile(join(other, 'config.json'), JSON.stringify(config));
    await expect(study({ runDirectory: other })).rejects.toThrow(
      `analyse noise: run directory "${other}": expected a run of maml, got one of td3. Name the directory of a run of "hyperpolicy train maml"`,
    );
  });
});

test('equal updates do not lie apart, and the parameters are there again after all of them, bit for bit', async () => {
  const config = completeConfig(await loadAlgorithm('maml'), readRunConfig(run));
  await withSetup(
    config,
    () => {},
    async (setup) => {
      const parts = await openParts(setup, { episodeSeed: 9 });
      restoreLearner(parts.learner, (await loadLearner(run)).learner);
      const before = parts.learner.flat.slice();
      const noise = await measureUpdates(parts, [7, 7, 7], silent);
      expect(bytesOf(parts.learner.flat)).toEqual(bytesOf(before));
      const [first] = noise.updates;
      // They did move, so the parameters were put back.
      expect(first).toMatchObject({ accepted: true, kl: expect.any(Number) });
      expect(first!.norm).toBeGreaterThan(0);
      expect(noise.updates).toEqual([first, first, first]);
      expect(noise.postReturn).toMatchObject({ variance: 0, coefficientOfVariation: 0, mean: first!.postReturn });
      expect(first!.postReturn).not.toBe(noise.start.postReturn);
      expect(noise.update.relativeSpread).toBe(0);
      expect(noise.update.meanCosine).toBeCloseTo(1, 12);
      disposeParts(parts);
    },
  );
}, 120_000);

describe('the spread', () => {
  test('of returns: -10, -12, -14 have mean -12, variance (4 + 0 + 4) / 2 = 4, and coefficient 2 / 12', () => {
    expect(returnSpread([-10, -12, -14])).toEqual({
      ...{ mean: -12, variance: 4, standardDeviation: 2, coefficientOfVariation: 2 / 12 },
    });
  });

  test('of vectors: (3, 0), (0, 4) and 0', () => {
    const spread = createVectorSpread(2);
    expect(
      [
        [3, 0],
        [0, 4],
        [0, 0],
      ].map((vector) => spread.add(Float64Array.from(vector))),
    ).toEqual([3, 4, 0]);
    const { meanNorm, relativeSpread, meanCosine } = spread.result();
    expect(meanNorm).toBeCloseTo(7 / 3, 12);
    // The mean is (1, 4/3), of length 5/3. Squared distances: (4 + 16/9) + (1 + 64/9) + (1 + 16/9) = 150/9; half of it is 75/9.
    expect(relativeSpread).toBeCloseTo(Math.sqrt(75 / 9) / (5 / 3), 12);
    // Of the two that are not 0.
    expect(meanCosine).toBeCloseTo(0, 12);
  });

  test('of directions: the mean over the pairs of (1, 0), (2, 0) and (0, 1) is (1 + 0 + 0) / 3', () => {
    const spread = createVectorSpread(2);
    for (const vector of [
      [1, 0],
      [2, 0],
      [0, 1],
    ])
      spread.add(Float64Array.from(vector));
    expect(spread.result().meanCosine).toBeCloseTo(1 / 3, 12);
    const single = createVectorSpread(1);
    single.add(Float64Array.of(2));
    expect(single.result()).toEqual({ meanNorm: 2, relativeSpread: 0, meanCosine: null });
  });
});

test('a run that resumes at an iteration keeps its learner if it is asked to', async () => {
  const resumed = join(scratch, 'resumed');
  await trainSmall(resumed, 1);
  await trainSmall(resumed, 2, [1], true);
  await trainSmall(resumed, 3, undefined, true);
  const [later, kept] = [await loadLearner(resumed, 1), await loadLearner(run, 1)];
  expect(later.learner.arrays).toEqual(kept.learner.arrays);
}, 60_000);
