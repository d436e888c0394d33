/** The learning curve of one run as `learning-curve.svg` in its directory. */

import { join } from 'node:path';
import { replaceFile } from '../../src/files/durable-files.ts';
import type { Evaluation } from '../../src/package/manifest.ts';
import { curveChart } from '../seeing/curve-chart.ts';
import { drawSvg } from '../seeing/drawing.ts';
import type { StepUnit } from './algorithm.ts';

/** Of an axis or a column. */
export const stepTitle = (stepUnit: StepUnit): string => (stepUnit === 'steps' ? 'environment steps' : stepUnit);

/**
 * Draws a line through the mean returns, with a band of one standard deviation of the evaluation's returns on either side. A policy that
 * adapts has two: before adaptation and after it.
 */
export async function writeLearningCurve(
  runDirectory: string,
  evaluations: readonly Evaluation[],
  { title, stepUnit }: { readonly title: string; readonly stepUnit: StepUnit },
): Promise<void> {
  const after = evaluations.map((evaluation) => pointOf(evaluation.step, evaluation));
  const before = evaluations.flatMap(({ step, before }) => (before === undefined ? [] : [pointOf(step, before)]));
  const panel = {
    title,
    subtitle: "mean and standard deviation of the evaluation's returns",
    stepTitle: stepTitle(stepUnit),
    valueTitle: 'return',
    curves:
      before.length === 0
        ? [{ label: title, points: after }]
        : [
            { label: 'before adaptation', points: before },
            { label: 'after adaptation', points: after },
          ],
  };
  await replaceFile(join(runDirectory, 'learning-curve.svg'), await drawSvg(curveChart([panel])), 'svg');
}

const pointOf = (step: number, { meanReturn, standardDeviation }: Omit<Evaluation, 'step' | 'episodeCount'>) => ({
  step,
  mean: meanReturn,
  spread: standardDeviation,
});
