import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { specSize } from '../../../src/contract/tensor-spec.ts';
import type { Env } from '../../../src/envs/env.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import type { OffPolicyConfig } from '../../../trainer/loops/off-policy-config.ts';
import type { OffPolicyLearner } from '../../../trainer/off-policy/learner.ts';
import { checkpointSteps, loadNewestCheckpoint } from '../../../trainer/run/checkpoint.ts';
import { evaluate } from '../../../trainer/run/evaluation.ts';
import { loadBestLearner } from '../../../trainer/run/evaluations.ts';
import { type MetricRecord, readMetrics } from '../../../trainer/run/metrics.ts';
import { splitParts } from '../../../trainer/run/parts.ts';
import { type AloneOptions, trainAlone } from './run-alone.ts';
import { createTinyLearner } from './tiny-learner.ts';

let scratch: string;
let env: Env;
let evaluationEnv: Env;
let runCount = 0;
let runDirectory: string;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'loop-test-'));
  env = await createEnvironment('HalfCheetah-v5');
  evaluationEnv = await createEnvironment('HalfCheetah-v5');
});
afterAll(async () => {
  env.dispose();
  evaluationEnv.dispose();
  await rm(scratch, { recursive: true });
});
beforeEach(() => {
  runDirectory = join(scratch, String(runCount++));
});

const config: OffPolicyConfig = {
  stepCount: 2600,
  warmUpStepCount: 700,
  batchSize: 4,
  evaluationInterval: 1000,
  evaluationEpisodeCount: 1,
  replayCapacity: 900,
  seed: 5,
  checkpointInterval: 800,
};

const newLearner = (): OffPolicyLearner =>
  createTinyLearner(specSize(env.specs.observation), specSize(env.specs.action));

const train = (options: Partial<AloneOptions> = {}) =>
  trainAlone({ env, evaluationEnv, learner: newLearner(), config, runDirectory, ...options });

/** A signal that aborts when the run reports a step. */
function abortAt(step: number) {
  const controller = new AbortController();
  const reporter: AloneOptions['reporter'] = {
    report: (reported) => {
      if (reported === step) controller.abort();
    },
    print: () => {},
  };
  return { signal: controller.signal, reporter };
}

/** A clock that has a turn of the event loop after every 25 steps, so that an abort is seen soon. */
function quickClock(): () => number {
  let time = 0;
  return () => {
    time += 2;
    return time;
  };
}

const withoutSeconds = (records: readonly MetricRecord[]) => records.map(({ seconds: _, ...rest }) => rest);

describe('the best learner', () => {
  test('is that of the best evaluation after the warm-up, and gives its return again', async () => {
    const seed = 11;
    const run = await train({ config: { ...config, seed, evaluationInterval: 500 } });
    const learnt = run.evaluations.filter(({ step }) => step > config.warmUpStepCount);
    expect(learnt.length).toBeGreaterThan(2);
    expect(run.best?.meanReturn).toBe(Math.max(...learnt.map(({ meanReturn }) => meanReturn)));
    const learner = newLearner();
    learner.restore(await loadBestLearner(runDirectory, run.best!));
    const again = await evaluate({
      env: evaluationEnv,
      act: learner.act.bind(learner),
      episodeCount: 1,
      seed: seed + 100,
    });
    expect(again.meanReturn).toBe(run.best!.meanReturn);
  });

  test('is none where nothing was learnt', async () => {
    const { best } = await train({ config: { ...config, stepCount: 300 } });
    expect(best).toBeUndefined();
  });
});

describe('the best learner of a run that was killed', () => {
  const short = { ...config, warmUpStepCount: 50, evaluationInterval: 100, checkpointInterval: 300 };

  /** Evaluations of one step each, with these returns. */
  const scripted = (returns: number[]): Env => ({
    ...evaluationEnv,
    step: (action) => ({ ...evaluationEnv.step(action), reward: returns.shift()!, truncated: true }),
  });

  /** Dies at step 550, with a checkpoint at 300 and ever better learners until 500. */
  async function die(): Promise<void> {
    const learner = newLearner();
    let updates = 0;
    const dying: OffPolicyLearner = {
      ...learner,
      learn: (batch, random) => {
        updates += 1;
        if (updates === 500) throw new Error('power cut');
        return learner.learn(batch, random);
      },
    };
    const run = train({ config: short, learner: dying, evaluationEnv: scripted([0, 1, 2, 3, 4, 5]) });
    await expect(run).rejects.toThrow('power cut');
    expect(await checkpointSteps(join(runDirectory, 'checkpoints'))).toEqual([300]);
    expect(await checkpointSteps(join(runDirectory, 'best'))).toEqual([300, 400, 500]);
  }

  test('that of the checkpoint is still there where a shorter resumed run finds no better one', async () => {
    await die();
    const run = await train({ config: { ...short, stepCount: 350 }, resume: true, evaluationEnv: scripted([2]) });
    expect(run.best?.step).toBe(300);
    await loadBestLearner(runDirectory, run.best!);
    expect(await checkpointSteps(join(runDirectory, 'best'))).toEqual([300]);
  });

  test('a new one stays beside it, and those of the lost steps go', async () => {
    await die();
    const run = await train({ config: { ...short, stepCount: 350 }, resume: true, evaluationEnv: scripted([6]) });
    expect(run.best?.step).toBe(350);
    await loadBestLearner(runDirectory, run.best!);
    expect(await checkpointSteps(join(runDirectory, 'best'))).toEqual([300, 350]);
  });
});

describe('trainOffPolicy', () => {
  test('records episodes, updates and evaluations, and leaves a checkpoint and a curve', async () => {
    const result = await train();
    expect(result).toMatchObject({ step: 2600, aborted: false, checkpoint: join(runDirectory, 'checkpoints', '2600') });
    expect(result.evaluations.map(({ step }) => step)).toEqual([0, 1000, 2000, 2600]);
    const records = readMetrics(runDirectory);
    const stepsWith = (name: string) => records.flatMap((record) => (name in record ? [record.step] : []));
    expect(stepsWith('evaluationReturn')).toEqual([0, 1000, 2000, 2600]);
    expect(stepsWith('episodeReturn')).toEqual([1000, 2000]); // HalfCheetah episodes last 1000 steps
    expect(stepsWith('weight').slice(0, 2)).toEqual([750, 800]); // every 50th update, the first at step 701
    expect(await checkpointSteps(join(runDirectory, 'checkpoints'))).toEqual([2400, 2600]);
    expect(await readFile(join(runDirectory, 'learning-curve.svg'), 'utf8')).toContain('HalfCheetah-v5');
  });

  test('makes as many updates after each step as asked, and a resumed run must keep to that', async () => {
    const short = { ...config, stepCount: 720, evaluationInterval: 720, updatesPerStep: 3 };
    await train({ config: short });
    const checkpoint = await loadNewestCheckpoint(join(runDirectory, 'checkpoints'));
    // 720 steps, 700 of them warm-up.
    expect(splitParts(checkpoint!, ['learner']).parts.learner.state).toEqual({ updateCount: 3 * 20 });
    await expect(train({ config: { ...short, updatesPerStep: 1 }, resume: true })).rejects.toThrow(
      'resume: updatesPerStep: expected 3, as the run began, got 1',
    );
  });

  test('a seed decides the run, and another seed another run', async () => {
    const short = { ...config, stepCount: 1200 };
    const first = await train({ config: short });
    runDirectory = join(scratch, 'again');
    const again = await train({ config: short });
    runDirectory = join(scratch, 'other');
    const other = await train({ config: { ...short, seed: 6 } });
    expect(again.evaluations).toEqual(first.evaluations);
    expect(other.evaluations).not.toEqual(first.evaluations);
  });

  test.each([
    ['in the warm-up', 333],
    ['while learning, with a full replay buffer', 1715],
    ['at a step that is evaluated and saved anyway', 2000],
  ])('stopped %s and resumed, it equals the uninterrupted run bit for bit', async (_, stopAt) => {
    await train();
    const whole = {
      records: readMetrics(runDirectory),
      checkpoint: await loadNewestCheckpoint(join(runDirectory, 'checkpoints')),
    };
    runDirectory = join(scratch, `stopped-${stopAt}`);
    const stopped = await train({ ...abortAt(stopAt), now: quickClock() });
    expect(stopped.aborted).toBe(true);
    expect(stopped.step).toBeGreaterThanOrEqual(stopAt);
    expect(stopped.step).toBeLessThan(stopAt + 50);

    const resumed = await train({ resume: true });
    expect(resumed).toMatchObject({ step: 2600, aborted: false });
    expect(withoutSeconds(readMetrics(runDirectory))).toEqual(withoutSeconds(whole.records));
    const checkpoint = await loadNewestCheckpoint(join(runDirectory, 'checkpoints'));
    expect(checkpoint?.arrays).toEqual(whole.checkpoint?.arrays);
    expect(Object.keys(checkpoint!.arrays)).toEqual(expect.arrayContaining(['learner/weights', 'replay/rows']));
  });

  test('stopped between two updates of a step, twice, and resumed, it equals the uninterrupted run bit for bit', async () => {
    const updatesPerStep = 40;
    const many = { ...config, stepCount: 720, evaluationInterval: 710, updatesPerStep };
    // An update takes 30 ms by this clock, so those of a step more than a second.
    const slowClock = () => {
      let time = 0;
      return () => {
        time += 30;
        return time;
      };
    };
    const begin = (options: Partial<AloneOptions>) => train({ config: many, now: slowClock(), ...options });
    const left = async () => {
      const checkpoint = await loadNewestCheckpoint(join(runDirectory, 'checkpoints'));
      const learner = splitParts(checkpoint!, ['learner']).parts.learner;
      const { updateCount } = learner.state as { updateCount: number };
      return { step: checkpoint!.step, updateCount, arrays: checkpoint!.arrays };
    };
    /** Aborts after so many updates of this start. */
    const stopAfter = async (count: number, resume: boolean) => {
      const controller = new AbortController();
      const learner = newLearner();
      let taken = 0;
      const stopping: OffPolicyLearner = {
        ...learner,
        learn(batch, random) {
          taken += 1;
          if (taken === count) controller.abort();
          return learner.learn(batch, random);
        },
      };
      const stopped = await begin({ learner: stopping, signal: controller.signal, resume });
      expect(stopped.aborted).toBe(true);
      return left();
    };
    await begin({});
    const whole = { ...(await left()), records: withoutSeconds(readMetrics(runDirectory)) };
    expect(whole.updateCount).toBe(20 * updatesPerStep);

    runDirectory = join(scratch, 'stopped-in-updates');
    const place = 9 * updatesPerStep;
    for (const [count, resume] of [
      [place + 11, false],
      [15, true],
    ] as const) {
      const { step, updateCount } = await stopAfter(count, resume);
      // Those of step 710: updates begin with 701. An evaluation is due there, after all of them.
      expect(step).toBe(710);
      expect(updateCount).toBeGreaterThanOrEqual(place + (resume ? 26 : 11));
      expect(updateCount).toBeLessThan(place + updatesPerStep);
      expect(readMetrics(runDirectory).filter((record) => 'evaluationReturn' in record)).toHaveLength(1);
    }
    await begin({ resume: true });
    const { records, ...state } = whole;
    expect(await left()).toEqual(state);
    expect(withoutSeconds(readMetrics(runDirectory))).toEqual(records);
  });

  test('a run that died after its last checkpoint resumes from there', async () => {
    await train();
    const whole = withoutSeconds(readMetrics(runDirectory));
    runDirectory = join(scratch, 'died');
    const learner = newLearner();
    let updates = 0;
    const dying: OffPolicyLearner = {
      ...learner,
      learn: (batch, random) => {
        updates += 1;
        if (updates === 1000) throw new Error('power cut');
        return learner.learn(batch, random);
      },
    };
    await expect(train({ learner: dying })).rejects.toThrow('power cut'); // at step 1700
    expect(await checkpointSteps(join(runDirectory, 'checkpoints'))).toEqual([800, 1600]);
    await train({ resume: true });
    expect(withoutSeconds(readMetrics(runDirectory))).toEqual(whole);
  });

  test('an update that fails is what is reported, also where its step fails after it', async () => {
    let hasFailed = false;
    const learner: OffPolicyLearner = {
      ...newLearner(),
      learn() {
        hasFailed = true;
        throw new Error('no update');
      },
    };
    const lost: Env = {
      ...env,
      step(action) {
        if (hasFailed) throw new Error('no step');
        return env.step(action);
      },
    };
    await expect(train({ learner, env: lost })).rejects.toThrow('no update');
  });

  test('a finished run resumed with more steps goes on', async () => {
    await train({ config: { ...config, stepCount: 1000 } });
    const result = await train({ resume: true, config: { ...config, stepCount: 1500 } });
    expect(result.evaluations.map(({ step }) => step)).toEqual([0, 1000, 1500]);
  });

  test('refuses a directory that has a run, one that has none, and another config', async () => {
    const short = { ...config, stepCount: 100, evaluationInterval: 100 };
    await train({ config: short });
    await expect(train({ config: short })).rejects.toThrow(
      `${join(runDirectory, 'metrics.jsonl')}: expected a run directory without records, got records of an earlier run. Resume that run or choose another directory`,
    );
    await expect(train({ config: { ...short, batchSize: 8 }, resume: true })).rejects.toThrow(
      'resume: batchSize: expected 4, as the run began, got 8',
    );
    await expect(train({ config: { ...short, seed: 1 }, resume: true })).rejects.toThrow('resume: seed: expected 5');
    await expect(train({ config: { ...config, stepCount: 0 } })).rejects.toThrow(
      'train: stepCount: expected an integer of at least 1, got 0',
    );
    const missing = join(scratch, 'missing');
    await expect(train({ runDirectory: missing, resume: true })).rejects.toThrow(
      `resume: ${join(missing, 'checkpoints')}: expected a checkpoint, got none. Start the run without resuming`,
    );
    expect(existsSync(missing)).toBe(false);
  });
});
