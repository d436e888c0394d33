/** What a person is told when a run has failed. */

import { expect, test } from 'vitest';
import { explainFailure, RunFailure } from '../../../trainer/run/failure.ts';

const failure = (checkpoint: string | undefined) =>
  new RunFailure(new Error('disk full'), {
    ...{ firstStep: 0, step: 250, aborted: false, checkpoint, best: undefined, evaluations: [], results: {} },
  });
const ended = 'training ended at step 250: the loop: expected no fault, got disk full. ';

test.each([
  [
    'my runs/a/checkpoints/250',
    "hyperpolicy train td3 --run 'my runs/a' --resume",
    "Go on from step 250 with: hyperpolicy train td3 --run 'my runs/a' --resume",
  ],
  [
    undefined,
    "hyperpolicy train td3 --run 'my runs/a' --resume",
    "No checkpoint of step 250 could be written. Go on from the one before, if there is one, with: hyperpolicy train td3 --run 'my runs/a' --resume",
  ],
  ['my runs/a/checkpoints/250', undefined, 'Go on from step 250 with `resume: true` and the run directory "my runs/a"'],
])('checkpoint %s, command %s', (checkpoint, resumeCommand, remedy) => {
  const told = (unit: string) =>
    explainFailure(failure(checkpoint), { runDirectory: 'my runs/a', unit, resumeCommand }).message;
  expect(told('step')).toBe(`${ended}${remedy}`);
  expect(told('iteration')).toBe(`${ended}${remedy}`.replaceAll('step 250', 'iteration 250'));
});
