/** What a person is told when a run has failed. */

import { expect, test } from 'vitest';
import { notFound } from '../../../src/contract/errors.ts';
import { explainFailure, explainUnpublished, RunFailure } from '../../../trainer/run/failure.ts';

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

test('a checkpoint that was held back is not told as one that could not be written', () => {
  const { cause, result } = failure(undefined);
  const heldBack = new RunFailure(cause, result, { isHeldBack: true });
  expect(explainFailure(heldBack, { runDirectory: 'a', unit: 'step', resumeCommand: 'go' }).message).toBe(
    `${ended}A part of the update was taken, so no checkpoint of step 250 was written. Go on from the one before, if there is one, with: go`,
  );
});

test.each([
  [new Error('disk full'), 'publishing after step 250: expected no fault, got disk full. '],
  [
    notFound({ where: 'best/200', expected: 'a checkpoint', actual: 'none', remedy: 'Put it back' }),
    'publishing after step 250: best/200: expected a checkpoint, got none. Put it back. ',
  ],
])('training that is done and cannot be published: %s', (cause, text) => {
  const run = { step: 250, checkpoint: 'r/checkpoints/250', work: 'publish' } as const;
  const resumption = { runDirectory: 'r', unit: 'step', resumeCommand: 'hyperpolicy train td3 --run r --resume' };
  const kept =
    'Training is done and kept as r/checkpoints/250. Publish it with: hyperpolicy train td3 --run r --resume';
  expect(explainUnpublished(cause, run, resumption).message).toBe(`${text}${kept}`);
});
