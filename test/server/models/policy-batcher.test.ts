import { describe, expect, test } from 'vitest';
import { createPolicyBatcher } from '../../../server/models/policy-batcher.ts';
import type { PolicyInputs } from '../../../server/models/policy-rows.ts';
import type { GeneratedWeights } from '../../../server/weights/generated-weights.ts';

const weights = (value: number): GeneratedWeights => ({ block: Float32Array.of(value), bytes: 4, feeds: undefined });

/** action = observation * weight + noise, one value each; dispatches by hand. */
function createTestBatcher({ expectsMore = true, fails = (_: PolicyInputs): boolean => false } = {}) {
  const runs: PolicyInputs[] = [];
  const dispatches: (() => void)[] = [];
  const batcher = createPolicyBatcher({
    actionSize: 1,
    expectsMore: () => expectsMore,
    schedule: (dispatch) => dispatches.push(dispatch),
    runOnce(inputs) {
      runs.push(inputs);
      if (fails(inputs)) throw new Error('no run');
      const weight = (row: number) => inputs.weights?.entries[inputs.index?.[row] ?? 0]?.block[0] ?? 1;
      const action = inputs.observation.map((value, row) => value * weight(row) + (inputs.noise?.[row] ?? 0));
      return { action, logProb: action.map((value) => -value) };
    },
  });
  const run = (observation: number[], more: Partial<PolicyInputs> = {}) =>
    batcher.run({ rowCount: observation.length, observation: Float32Array.from(observation), ...more });
  /** The first request of a turn runs at once; those after it may share. */
  const beginTurn = () => {
    expect(run([0])).not.toBeInstanceOf(Promise);
    runs.pop();
  };
  const turn = () => {
    for (const dispatch of dispatches.splice(0)) dispatch();
  };
  return { run, beginTurn, turn, runs };
}

describe('the policy batcher', () => {
  test('a request that is alone runs at once, with its own arrays', () => {
    const { run, runs } = createTestBatcher({ expectsMore: false });
    expect(run([1, 2])).toEqual({ action: Float32Array.of(1, 2), logProb: Float32Array.of(-1, -2) });
    expect(runs).toHaveLength(1);
  });

  test('requests of one turn share a run; contexts that they share are there once', async () => {
    const { run, beginTurn, turn, runs } = createTestBatcher();
    beginTurn();
    const [a, b] = [weights(10), weights(100)];
    const answers = [
      run([1, 2], { weights: { entries: [a] } }),
      run([3], { weights: { entries: [b] } }),
      run([4, 5], { weights: { entries: [b, a] }, index: Int32Array.of(0, 1), noise: Float32Array.of(0.5, 0.25) }),
    ];
    turn();
    expect((await Promise.all(answers)).map(({ action }) => [...action])).toEqual([[10, 20], [300], [400.5, 50.25]]);
    expect(runs).toHaveLength(1);
    expect(runs[0]!.weights!.entries).toEqual([a, b]);
    expect([...runs[0]!.index!]).toEqual([0, 0, 1, 1, 0]);
  });

  test('the first request of each turn runs at once', async () => {
    const { run, beginTurn, turn } = createTestBatcher();
    beginTurn();
    expect(run([1])).toBeInstanceOf(Promise);
    turn();
    beginTurn();
  });

  test('one shared context needs no index', async () => {
    const { run, beginTurn, turn, runs } = createTestBatcher();
    beginTurn();
    const a = weights(2);
    const answers = [run([1], { weights: { entries: [a] } }), run([2], { weights: { entries: [a] } })];
    turn();
    await Promise.all(answers);
    expect(runs[0]!.index).toBeUndefined();
  });

  test('a large request runs at once, and a batch is bounded', async () => {
    const { run, beginTurn, turn, runs } = createTestBatcher();
    beginTurn();
    expect(run(Array.from({ length: 17 }, () => 1))).not.toBeInstanceOf(Promise);
    const answers = Array.from({ length: 5 }, () => run(Array.from({ length: 16 }, () => 1)));
    turn();
    await Promise.all(answers);
    expect(runs.map(({ rowCount }) => rowCount)).toEqual([17, 64, 16]);
  });

  test('a joint run that fails harms only who fails alone', async () => {
    const { run, beginTurn, turn } = createTestBatcher({ fails: ({ observation }) => observation.includes(13) });
    beginTurn();
    const answers = Promise.allSettled([run([1]), run([13]), run([2])]);
    turn();
    expect((await answers).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });
});
