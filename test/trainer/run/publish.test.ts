/** What a run publishes: the record of its training, its networks as files, and no step twice. */

import { link, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readPackage } from '../../../src/package/package.ts';
import { loadAlgorithm } from '../../../trainer/algorithms/registry.ts';
import { createEngine } from '../../../trainer/engine/choose.ts';
import { completeConfig } from '../../../trainer/run/complete-config.ts';
import type { PublishOptions } from '../../../trainer/run/config.ts';
import { openEnvironment } from '../../../trainer/run/environment/open.ts';
import { environmentPlace } from '../../../trainer/run/environment-place.ts';
import { readPublication } from '../../../trainer/run/publication.ts';
import { publishRun } from '../../../trainer/run/publish.ts';

/** A run of small networks in a folder of its own, with what `publishRun` needs of it. */
async function openedRun(which: PublishOptions['which']) {
  const runDirectory = await mkdtemp(join(tmpdir(), 'publish-test-'));
  onTestFinished(() => rm(runDirectory, { recursive: true }));
  const publish = { store: join(runDirectory, 'store'), model: 'm', which };
  const algorithm = await loadAlgorithm('td3');
  const config = completeConfig(algorithm, {
    environment: 'Pendulum-v1',
    algorithm: { name: 'td3', critic: { architecture: 'mlp-small' }, actorHiddenSizes: [4] },
    loop: { evaluationEpisodeCount: 1, warmUpStepCount: 15 },
    ...{ threadCount: 1, publish },
  });
  const environment = await openEnvironment(environmentPlace(config), { signal: undefined, tell() {} });
  onTestFinished(() => environment.dispose());
  const engine = await createEngine('traced', { threadCount: 1, device: 'cpu' });
  const training = await algorithm.open({ config, environment, engine });
  onTestFinished(() => training.dispose());
  return { algorithm, training, config, publish, runDirectory, engine, specs: environment.specs };
}

const silent = { info() {}, warn() {} };

test('of more evaluations than a manifest holds it has some at equal distances, the best and the last', async () => {
  const opened = await openedRun('last');
  const of = async (count: number) => {
    const evaluations = Array.from({ length: count }, (_, i) => ({
      ...{ step: 10 * i, meanReturn: i === 3_001 ? 5 : -1 - i, standardDeviation: 1, episodeCount: 1 },
    }));
    const { published } = await publishRun({
      ...opened,
      ...{ resume: false, log: silent },
      run: { step: 10 * count, best: evaluations[3_001], evaluations },
    });
    const { manifest } = await readPackage(published!.directory);
    expect(manifest.training.lastEvaluationReturn).toBe(-count);
    return { evaluations, recorded: manifest.training.evaluations };
  };

  const few = await of(4_096);
  expect(few.recorded).toEqual(few.evaluations);

  const { evaluations, recorded } = await of(40_000);
  // 40,000 of at most 4,094 at equal distances: each tenth, 4,000 of them.
  const tenths = evaluations.filter((_, i) => i % 10 === 0);
  expect(recorded).toEqual([...tenths.slice(0, 301), evaluations[3_001], ...tenths.slice(301), evaluations[39_999]]);
});

test('where no evaluation has a finite return, the last policy is published, with a warning and without such figures', async () => {
  const opened = await openedRun('best');
  const warnings: object[] = [];
  const none = { meanReturn: Number.NaN, standardDeviation: Number.NaN, episodeCount: 1 };
  const { published } = await publishRun({
    ...opened,
    training: { ...opened.training, evaluateAfresh: async () => ({ ...none, returns: [Number.NaN], lengths: [1] }) },
    ...{
      resume: false,
      log: { info() {}, warn: (fields: object, text: string) => void warnings.push([fields, text]) },
    },
    run: { step: 20, best: undefined, evaluations: [10, 20].map((step) => ({ step, ...none })) },
  });
  const { training } = (await readPackage(published!.directory)).manifest;
  expect(training).toMatchObject({ steps: 20, evaluations: [] });
  for (const name of ['bestEvaluation', 'lastEvaluation', 'fresh'])
    expect(training).not.toHaveProperty(`${name}Return`);
  const why = 'no evaluation after the warm-up has a finite return and its learner on the disk';
  expect(warnings).toEqual([
    [{ step: 20 }, `${why}: the policy of the last step is published`],
    [{ error: 'their mean return is NaN' }, 'the published policy has no return on fresh episodes'],
  ]);
});

test('of a run that ended within its warm-up the policy that it began with is published, and the warning says so', async () => {
  const opened = await openedRun('best');
  const warnings: string[] = [];
  const begun = { step: 0, meanReturn: -5, standardDeviation: 1, episodeCount: 1 };
  await publishRun({
    ...opened,
    ...{ resume: false, log: { info() {}, warn: (_: object, text: string) => void warnings.push(text) } },
    run: { step: 15, best: undefined, evaluations: [begun] },
  });
  expect(warnings).toEqual([
    'the run ended within its warm-up of 15, in which nothing is learnt: the policy that it began with is published',
  ]);
});

test('a kill while the networks are written leaves the earlier files: they are replaced, not written over', async () => {
  const opened = await openedRun('last');
  const networks = join(opened.runDirectory, 'networks');
  const [actor, earlier] = [join(networks, 'actor.safetensors'), join(opened.runDirectory, 'earlier')];
  await mkdir(networks);
  await writeFile(actor, 'of the evaluation before');
  await link(actor, earlier);
  await publishRun({ ...opened, resume: false, log: silent, run: { step: 10, best: undefined, evaluations: [] } });
  expect(await readFile(earlier, 'utf8')).toBe('of the evaluation before');
  expect((await readFile(actor)).length).toBeGreaterThan(100);
  expect((await readdir(networks)).sort()).toEqual(['actor.safetensors', 'critic.safetensors']);
});

test('networks that cannot be written as files of the run are warned of, and published in a store that can be written', async () => {
  const opened = await openedRun('last');
  // As a disk that is full.
  await writeFile(join(opened.runDirectory, 'networks'), '');
  const warnings: object[] = [];
  const log = { info() {}, warn: (fields: object, text: string) => void warnings.push([fields, text]) };
  const run = { step: 10, best: undefined, evaluations: [] };
  const { published } = await publishRun({ ...opened, resume: false, log, run });
  expect((await readPackage(published!.directory)).manifest.training.steps).toBe(10);
  expect(warnings).toEqual([
    [
      { step: 10, error: expect.stringContaining(join(opened.runDirectory, 'networks')) },
      'networks/ could not be written; publishing is tried all the same',
    ],
  ]);
});

test('a version that the run was ended before it could note is known by its evaluations, and not published twice', async () => {
  const opened = await openedRun('every');
  const { runDirectory, publish } = opened;
  const note = join(runDirectory, 'published.json');
  const evaluationsUntil = (step: number) =>
    [100, 200, 300]
      .filter((one) => one <= step)
      .map((one) => ({ step: one, meanReturn: -one / 7, standardDeviation: 1, episodeCount: 1 }));
  const warnings: string[] = [];
  const publishStep = async (step: number, resume: boolean, config = opened.config) => {
    const { published, publishedBefore } = await publishRun({
      ...{ ...opened, config, resume, log: { info() {}, warn: (_: object, text: string) => void warnings.push(text) } },
      run: { step, best: undefined, evaluations: evaluationsUntil(step) },
    });
    return [published?.version, publishedBefore?.version];
  };
  expect(await publishStep(100, false)).toEqual([1, undefined]);
  const firstNote = await readFile(note);
  // As an earlier version wrote it, without the defaults of networks.
  const { algorithm } = opened.config;
  const begun = { ...opened.config, algorithm: { ...algorithm, critic: { architecture: 'mlp-small' } } };
  expect(await publishStep(200, false, begun)).toEqual([2, undefined]);

  // As a kill leaves it after the package is there.
  await writeFile(note, firstNote);
  expect(await publishStep(200, true)).toEqual([undefined, 2]);
  expect(await readPublication(runDirectory)).toMatchObject({ version: 2, step: 200, steps: [100, 200] });

  // As a disk that is full then.
  await rm(note);
  await mkdir(note);
  expect(await publishStep(300, true)).toEqual([3, undefined]);
  expect(warnings).toEqual(['version 3 of "m" is published; published.json, which notes that, could not be written']);
  await rm(note, { recursive: true });
  expect(await publishStep(300, true)).toEqual([undefined, 3]);

  // Another run of the same settings that begins here publishes its own.
  await rm(note);
  expect(await publishStep(300, false)).toEqual([4, undefined]);
  expect((await readdir(join(publish.store, 'm'))).sort()).toEqual(['1', '2', '3', '4']);
});
