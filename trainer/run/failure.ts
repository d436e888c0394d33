/** The end of a failed run: its results so far, and one error that says what happened and where, what is kept, and how to resume. */

import { basename } from 'node:path';
import { failedPrecondition, HyperpolicyError } from '../../src/contract/errors.ts';
import type { RunResult } from './algorithm.ts';
import type { PublishedRun } from './publish.ts';

/** The error of a loop that was ended by anything but its signal. */
export class RunFailure extends Error {
  readonly result: RunResult;
  /** Whether there is no checkpoint on purpose: a part of an update was taken, and the one before is sound. */
  readonly isHeldBack: boolean;

  /** @param result what it has so far; its checkpoint is undefined if none was written at the end */
  constructor(cause: unknown, result: RunResult, { isHeldBack = false } = {}) {
    super(textOf(cause), { cause });
    this.name = 'RunFailure';
    this.result = result;
    this.isHeldBack = isHeldBack;
  }
}

export type Resumption = {
  readonly runDirectory: string;
  /** The unit of the run's steps, in the singular. */
  readonly unit: string;
  /** A whole command, quoted for a shell; undefined for a run that was begun from code. */
  readonly resumeCommand: string | undefined;
};

/**
 * The error for the person.
 * @param outcome.published of the best policy so far, if it was to be published
 * @param outcome.publishFailure why it could not be
 */
export function explainFailure(
  { cause, isHeldBack, result: { step, checkpoint, best } }: RunFailure,
  {
    published,
    publishFailure,
    ...resumption
  }: Resumption & { readonly published?: PublishedRun; readonly publishFailure?: unknown },
): HyperpolicyError {
  const { unit } = resumption;
  const { kind, where, expected, actual, remedy } = asError(cause, 'the loop');
  const model = published?.published?.manifest.model ?? published?.publishedBefore?.model;
  const version = published?.published?.version ?? published?.publishedBefore?.version;
  const lack = isHeldBack
    ? `A part of the update was taken, so no checkpoint of ${unit} ${step} was written`
    : `No checkpoint of ${unit} ${step} could be written`;
  const kept = [
    remedy,
    model === undefined
      ? undefined
      : `The best policy so far (${unit} ${best!.step}) is version ${version} of "${model}"`,
    publishFailure === undefined
      ? undefined
      : `The best policy so far (${unit} ${best!.step}) could not be published: ${textOf(publishFailure)}`,
    checkpoint === undefined
      ? `${lack}. Go on from the one before, if there is one, ${wayOf(resumption)}`
      : `Go on from ${unit} ${basename(checkpoint)} ${wayOf(resumption)}`,
  ];
  return new HyperpolicyError({
    kind,
    where: `training ended at ${unit} ${step}: ${where}`,
    expected,
    actual,
    remedy: kept.filter((text) => text !== undefined).join('. '),
    cause,
  });
}

/** What is left to do when the last step is done, as errors name it and as they tell to do it. */
const lastWork = {
  publish: { name: 'publishing', remedy: 'Publish it' },
  networks: { name: 'writing the networks', remedy: 'Write them' },
} as const;

/**
 * The error for the person, of a run that came to its end and could not be published, or its networks not be written.
 * @param checkpoint of its last step
 */
export function explainUnpublished(
  cause: unknown,
  {
    step,
    checkpoint,
    work,
  }: { readonly step: number; readonly checkpoint: string; readonly work: keyof typeof lastWork },
  resumption: Resumption,
): HyperpolicyError {
  const { name, remedy: toDo } = lastWork[work];
  const what = `${name} after ${resumption.unit} ${step}`;
  const { kind, where, expected, actual, remedy } = asError(cause, what);
  const kept = `Training is done and kept as ${checkpoint}. ${toDo} ${wayOf(resumption)}`;
  return new HyperpolicyError({
    kind,
    where: where === what ? where : `${what}: ${where}`,
    expected,
    actual,
    remedy: remedy === undefined ? kept : `${remedy}. ${kept}`,
    cause,
  });
}

const wayOf = ({ runDirectory, resumeCommand }: Resumption): string =>
  resumeCommand === undefined
    ? `with \`resume: true\` and the run directory ${JSON.stringify(runDirectory)}`
    : `with: ${resumeCommand}`;

/** A fault as an error for the person. @param where for one that does not say it */
export const asError = (failure: unknown, where: string): HyperpolicyError =>
  failure instanceof HyperpolicyError
    ? failure
    : failedPrecondition({ where, expected: 'no fault', actual: textOf(failure) });

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
