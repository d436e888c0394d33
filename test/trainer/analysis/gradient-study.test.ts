/** The picture of gradient accuracy: which models are one curve, and its mean and spread by hand. */

import { expect, test } from 'vitest';
import { accuracyPanels, type VersionAccuracy } from '../../../trainer/analysis/gradient-study.ts';

const record = (model: string, step: number, meanCosine: number | null, more: Partial<VersionAccuracy> = {}) => ({
  ...{ model, version: step / 10, environment: 'Hopper-v5', architecture: 'sa-hyper', step, meanCosine },
  ...{ stepUnit: 'steps', cosines: [], standardDeviation: 0.3, fractionsAbove: [meanCosine], environmentSteps: 1 },
  ...more,
});

test('seeds of a name are one curve, where all of them have a value', () => {
  const records = [
    ...[record('wide-seed0', 10, 0.2), record('wide-seed0', 20, 0.4), record('wide-seed0', 30, 0.9)],
    ...[record('wide-seed7', 10, 0.4), record('wide-seed7', 20, 0.8), record('wide-seed7', 30, null)],
    ...[record('one-seed0', 10, 0.1)],
  ];
  const [cosine, above] = accuracyPanels(records, [0.5]);
  expect(cosine!.subtitle).toBe('mean and standard deviation over the seeds, or over states where there is one seed');
  const [wide, one] = cosine!.curves;
  expect(wide!.label).toBe('wide, sa-hyper (2 seeds)');
  expect(wide!.points.map(({ step }) => step)).toEqual([10, 20]);
  expect(wide!.points[0]!.mean).toBeCloseTo(0.3, 12);
  // Of two values that are 2 d apart: d sqrt(2).
  expect(wide!.points.map(({ spread }) => spread)).toEqual([
    expect.closeTo(0.1 * Math.SQRT2, 12),
    expect.closeTo(0.2 * Math.SQRT2, 12),
  ]);
  expect(one).toEqual({ label: 'one-seed0, sa-hyper', points: [{ step: 10, mean: 0.1, spread: 0.3 }] });
  expect([cosine!.valueRange, above!.valueRange]).toEqual([
    [-1, 1],
    [0, 1],
  ]);
  expect(above!.curves[0]!.points[0]!.mean).toBeCloseTo(0.3, 12);
});

test('another critic or environment is another curve', () => {
  const records = [
    record('a-seed0', 10, 0.2),
    record('a-seed1', 10, 0.2, { architecture: 'mlp-small' }),
    record('a-seed2', 10, 0.2, { environment: 'Ant-v5' }),
    record('a', 10, 0.2),
  ];
  const [{ curves, subtitle }] = accuracyPanels(records, []) as [ReturnType<typeof accuracyPanels>[number]];
  expect(curves.map(({ label }) => label)).toEqual([
    'a-seed0, sa-hyper',
    'a-seed1, mlp-small',
    'a-seed2, sa-hyper',
    'a, sa-hyper',
  ]);
  expect(subtitle).toBe('mean and standard deviation over states');
});
