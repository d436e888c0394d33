/** Charts of learning curves: what is drawn, and that every text is there. */

import { describe, expect, test } from 'vitest';
import { type Curve, curveChart, type Panel } from '../../../trainer/seeing/curve-chart.ts';
import { drawPng, drawSvg } from '../../../trainer/seeing/drawing.ts';

const curve = (label: string, slope: number): Curve => ({
  label,
  points: [0, 5000, 10_000].map((step) => ({ step, mean: slope * step, spread: 50 })),
});

const panel = (title: string, curves: readonly Curve[]): Panel => ({
  title,
  subtitle: 'mean and standard deviation of 3 seeds',
  stepTitle: 'environment steps',
  valueTitle: 'return',
  curves,
});

const textsOf = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map((match) => match[1]);

/** Colours of the lines that are broken like this. */
const strokesOf = (svg: string, dash: string) =>
  [...svg.matchAll(/<path[^>]*>/g)]
    .map(([path]) => path)
    .filter((path) => path.includes(`stroke-dasharray="${dash}"`))
    .map((path) => /stroke="(#\w+)"/.exec(path)?.[1]);

describe('a chart of learning curves', () => {
  test('has a line, a band, axes with round numbers and units, and no legend for one curve', async () => {
    const svg = await drawSvg(curveChart([panel('HalfCheetah-v5', [curve('td3', 0.1)])]));
    const texts = textsOf(svg);
    for (const text of ['HalfCheetah-v5', 'mean and standard deviation of 3 seeds', 'environment steps', 'return']) {
      expect(texts).toContain(text);
    }
    expect(texts).toEqual(expect.arrayContaining(['0', '2k', '10k', '200', '1,000']));
    expect(texts).not.toContain('td3');
    // 10,000 steps span 560 units, and the axis from -100 to 1100 spans 320: return 1000 is 320 x 100 / 1200 from the top.
    expect(svg).toContain('d="M0,293.333L280,160L560,26.667"');
    expect(svg).toContain('d="M0,306.667L280,173.333L560,40L560,13.333L280,146.667L0,280Z"');
  });

  test('shows whose curve is whose in a panel for each environment', async () => {
    const curves = [curve('td3 sa-hyper', 0.1), curve('td3 mlp-standard & <more>', 0.05)];
    const svg = await drawSvg(curveChart([panel('HalfCheetah-v5', curves), panel('Hopper-v5', curves)]));
    const texts = textsOf(svg);
    expect(texts.filter((text) => text === 'environment steps')).toHaveLength(2);
    expect(texts.filter((text) => text === 'td3 sa-hyper')).toHaveLength(1);
    expect(texts).toContain('td3 mlp-standard &amp; &lt;more&gt;');
  });

  test('tells the phases of a curve apart by broken lines of its colour', async () => {
    const after = { ...curve('maml', 0.1), phase: 'after adaptation' };
    const before = { ...curve('maml', 0.05), phase: 'before adaptation' };
    const svg = await drawSvg(curveChart([panel('Point-Robot', [after, before])]));
    expect(textsOf(svg)).toEqual(expect.arrayContaining(['after adaptation', 'before adaptation']));
    // The curve, and its line in the legend.
    for (const dash of ['1,0', '5,4']) expect(strokesOf(svg, dash)).toEqual(['#4c78a8', '#444444']);
  });

  test('draws curves without phases as whole lines, beside those that have some', async () => {
    const phases = ['after adaptation', 'before adaptation'];
    const adapting = phases.map((phase) => ({ ...curve('maml', 0.1), phase }));
    const svg = await drawSvg(curveChart([panel('Point-Robot', [curve('td3', 0.05), ...adapting])]));
    expect(textsOf(svg)).not.toContain('undefined');
    expect(strokesOf(svg, '1,0')).toEqual(['#4c78a8', '#f58518', '#444444']);
    expect(strokesOf(svg, '5,4')).toEqual(['#f58518', '#444444']);
  });

  test('a long label of the legend has several lines, and is whole', async () => {
    const label = 'maml hyper-maml, stepCount 1, start 0.01, learnt per-tensor, taskCount 10, episodeCount 6 (2 seeds)';
    const svg = await drawSvg(curveChart([panel('Point-Robot', [curve(label, 1), curve('maml', 1)])]));
    expect(svg).toContain('>maml hyper-maml, stepCount 1, start 0.01, learnt per-tensor,<');
    expect(svg).toContain('>taskCount 10, episodeCount 6 (2 seeds)<');
  });

  test('a long subtitle has two lines: its width is only estimated, and would decide that of the picture', async () => {
    const subtitle = "mean and standard deviation over the seeds, of the evaluation's returns where there is one seed";
    const svg = await drawSvg(curveChart([{ ...panel('Hopper-v5', [curve('td3', 1)]), subtitle }]));
    expect(Number(/width="(\d+)"/.exec(svg)![1])).toBeLessThan(700);
  });

  test('of one point has its deviation as a bar, within the range that values may have, which the axis shows whole', async () => {
    const alone = (mean: number, spread: number) => ({ label: 'a', points: [{ step: 7, mean, spread }] });
    const svgOf = (one: Curve, more: Partial<Panel> = {}) =>
      drawSvg(curveChart([{ ...panel('Hopper-v5', [one]), ...more }]));
    const barOf = (svg: string) => /<line [^>]*"rule mark" transform="(.*?)" x2="0" y2="(.*?)" /.exec(svg)?.slice(1);
    const svg = await svgOf(alone(0.75, 0.5), { valueRange: [-1, 1] });
    expect(textsOf(svg)).toEqual(expect.arrayContaining(['−1', '0', '1']));
    // From 0.25, which is 320 x 0.75 / 2 below the top, to 1 in place of 1.25: the top.
    expect(barOf(svg)).toEqual(['translate(280,120)', '-120']);
    expect(barOf(await svgOf(alone(20, 7)))).toBeDefined();
    for (const one of [alone(1 / 3, 0), curve('a', 0.1)]) expect(barOf(await svgOf(one))).toBe(undefined);
    expect(textsOf(await svgOf(alone(1 / 3, 0), { valueRange: [0, 1] }))).not.toContain('0.333333');
  });

  test('has few points of a long curve: its ends, and the lowest and highest on the way', async () => {
    const spike = { step: 5003, mean: 900, spread: 1 };
    const points = Array.from({ length: 20_000 }, (_, step) => ({ step, mean: Math.sin(step), spread: 1 }));
    const svg = await drawSvg(curveChart([panel('Hopper-v5', [{ label: 'td3', points: points.with(5003, spike) }])]));
    const [line] = / d="M([^"Z]*)"/.exec(svg)!;
    const places = [...line.matchAll(/([\d.]+),([\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)] as const);
    expect(places.length).toBeGreaterThan(1500);
    expect(places.length).toBeLessThanOrEqual(2000);
    expect([places[0]![0], places.at(-1)![0]]).toEqual([0, 560]);
    // 5003 of the 19,999 steps over 560 units. No other point is near the top.
    const high = places.filter(([, y]) => y < 200);
    expect(high).toHaveLength(1);
    expect(high[0]![0]).toBeCloseTo((560 * 5003) / 19_999, 2);
  });

  test('stands without points', async () => {
    const svg = await drawSvg(
      curveChart([
        panel(
          'none',
          [curve('a', 1)].map((one) => ({ ...one, points: [] })),
        ),
      ]),
    );
    expect(textsOf(svg)).toContain('environment steps');
    expect(svg).not.toContain('NaN');
  });
});

test('a PNG has the pixels of its scale', async () => {
  const png = await drawPng(
    '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><text y="9">x</text></svg>',
    2,
  );
  const view = Buffer.from(png);
  expect(view.subarray(1, 4).toString()).toBe('PNG');
  expect([view.readUInt32BE(16), view.readUInt32BE(20)]).toEqual([60, 40]);
});
