import { describe, expect, test } from 'vitest';
import { evaluationsOf, learningCurve } from '../../../trainer/run/plot.ts';

const points = [
  { step: 0, meanReturn: 0, standardDeviation: 0 },
  { step: 5000, meanReturn: 500, standardDeviation: 100 },
  { step: 10_000, meanReturn: 1000, standardDeviation: 200 },
];

describe('learningCurve', () => {
  test('places points, band and ticks', () => {
    const svg = learningCurve(points, 'HalfCheetah-v5');
    // Steps 0..10000 span x 72..700 and returns 0..1200 span y 372..36: 628 and 336 units.
    // (5000, 500) is (72 + 314, 372 - 140); (10000, 1000) is (700, 372 - 280); its band 1200 and 800.
    expect(svg).toContain('d="M72,372L386,232L700,92" fill="none"');
    expect(svg).toContain('d="M72,372L386,204L700,36L700,148L386,260L72,372" fill="#1f5fa8" fill-opacity');
    const labels = [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map((match) => match[1]);
    expect(labels).toEqual([
      ...['HalfCheetah-v5', '0', '2k', '4k', '6k', '8k', '10k'],
      ...['0', '200', '400', '600', '800', '1k', '1.2k', 'environment steps', 'evaluation return'],
    ]);
  });

  test('shows negative returns, escapes its title, and stands without points', () => {
    const svg = learningCurve([{ step: 1e6, meanReturn: -250, standardDeviation: 40 }], 'a < b & c');
    expect(svg).toContain('>a &lt; b &amp; c<');
    expect(svg).toContain('>-300<');
    expect(svg).toContain('>1M<');
    expect(learningCurve([], 'none')).toContain('d="" fill="none"');
    expect(learningCurve([], 'none')).not.toContain('NaN');
  });

  test('takes evaluations from metric records', () => {
    expect(
      evaluationsOf([
        { step: 0, seconds: 0, evaluationReturn: 1, evaluationStandardDeviation: 2 },
        { step: 5, seconds: 1, episodeReturn: 3 },
        { step: 9, seconds: 2, evaluationReturn: Number.NaN },
      ]),
    ).toEqual([{ step: 0, meanReturn: 1, standardDeviation: 2 }]);
  });
});
