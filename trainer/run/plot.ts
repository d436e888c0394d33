/** The learning curve of a run as an SVG: return over environment steps, with the spread of the evaluation episodes. */

import type { MetricRecord } from './metrics.ts';

/** One evaluation: mean and standard deviation of the episodes' returns at an environment step. */
export type CurvePoint = { readonly step: number; readonly meanReturn: number; readonly standardDeviation: number };

const width = 720;
const height = 420;
const margin = { left: 72, right: 20, top: 36, bottom: 48 };
const colours = { line: '#1f5fa8', band: '#1f5fa8', grid: '#e3e3e3', text: '#333333' };

type Axis = { readonly low: number; readonly high: number; readonly ticks: readonly number[] };

/**
 * Draws a line through the mean returns and a band of one standard deviation on either side; only axes where there is no point.
 * @param title plain text
 * @returns the text of an SVG document
 */
export function learningCurve(evaluations: readonly CurvePoint[], title: string): string {
  const points = evaluations.map(({ step, meanReturn, standardDeviation }) => ({
    step,
    mean: meanReturn,
    spread: standardDeviation,
  }));
  // The axis of steps ends at the last step, the axis of returns at a tick.
  const stepMax = Math.max(1, ...points.map(({ step }) => step));
  const nice = niceAxis(0, stepMax, 6);
  const steps: Axis = { low: 0, high: stepMax, ticks: nice.ticks.filter((tick) => tick <= stepMax) };
  const returns = niceAxis(
    Math.min(0, ...points.map(({ mean, spread }) => mean - spread)),
    Math.max(1, ...points.map(({ mean, spread }) => mean + spread)),
    6,
  );
  const x = (step: number) => place(step, steps, margin.left, width - margin.right);
  const y = (value: number) => place(value, returns, height - margin.bottom, margin.top);
  const path = (list: readonly string[]) => (list.length === 0 ? '' : `M${list.join('L')}`);
  const line = points.map(({ step, mean }) => `${x(step)},${y(mean)}`);
  const upper = points.map(({ step, mean, spread }) => `${x(step)},${y(mean + spread)}`);
  const lower = points.map(({ step, mean, spread }) => `${x(step)},${y(mean - spread)}`).reverse();
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="12" fill="${colours.text}">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    text({ x: width / 2, y: 22, anchor: 'middle', content: title, size: 15 }),
    ...steps.ticks.flatMap((tick) => [
      grid(x(tick), margin.top, x(tick), height - margin.bottom),
      text({ x: x(tick), y: height - margin.bottom + 18, anchor: 'middle', content: short(tick) }),
    ]),
    ...returns.ticks.flatMap((tick) => [
      grid(margin.left, y(tick), width - margin.right, y(tick)),
      text({ x: margin.left - 8, y: y(tick) + 4, anchor: 'end', content: short(tick) }),
    ]),
    text({
      x: (margin.left + width - margin.right) / 2,
      y: height - 10,
      anchor: 'middle',
      content: 'environment steps',
    }),
    `<text transform="translate(18 ${(margin.top + height - margin.bottom) / 2}) rotate(-90)" text-anchor="middle">evaluation return</text>`,
    `<path d="${path([...upper, ...lower])}" fill="${colours.band}" fill-opacity="0.18"/>`,
    `<path d="${path(line)}" fill="none" stroke="${colours.line}" stroke-width="2" stroke-linejoin="round"/>`,
    ...points.map(({ step, mean }) => `<circle cx="${x(step)}" cy="${y(mean)}" r="2.5" fill="${colours.line}"/>`),
    '</svg>',
    '',
  ].join('\n');
}

/** The evaluations among the records of a metric file. */
export function evaluationsOf(records: readonly MetricRecord[]): CurvePoint[] {
  return records.flatMap(({ step, evaluationReturn, evaluationStandardDeviation = 0 }) =>
    evaluationReturn !== undefined && Number.isFinite(evaluationReturn + evaluationStandardDeviation)
      ? [{ step, meanReturn: evaluationReturn, standardDeviation: evaluationStandardDeviation }]
      : [],
  );
}

/** About `count` round ticks (1, 2 or 5 times a power of ten apart) that enclose [low, high]. */
function niceAxis(low: number, high: number, count: number): Axis {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const spacing = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999)!;
  const first = Math.floor(low / spacing);
  const last = Math.ceil(high / spacing);
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * spacing);
  return { low: ticks[0]!, high: ticks.at(-1)!, ticks };
}

const place = (value: number, { low, high }: Axis, from: number, to: number): number =>
  Math.round((from + ((value - low) / (high - low)) * (to - from)) * 100) / 100;

/** 1500 as 1.5k, 2000000 as 2M. */
function short(value: number): string {
  const size = Math.abs(value);
  const [unit, suffix] = size >= 1e6 ? [1e6, 'M'] : size >= 1e3 ? [1e3, 'k'] : [1, ''];
  return `${Number((value / unit).toFixed(2))}${suffix}`;
}

const grid = (x1: number, y1: number, x2: number, y2: number): string =>
  `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${colours.grid}"/>`;

type Label = { x: number; y: number; anchor: 'middle' | 'end'; content: string; size?: number };

function text({ x, y, anchor, content, size }: Label): string {
  const fontSize = size === undefined ? '' : ` font-size="${size}"`;
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return `<text x="${x}" y="${y}" text-anchor="${anchor}"${fontSize}>${escaped}</text>`;
}
