/** Memory over time as an SVG. */

import type { MemorySample } from './memory.ts';

export type Line = { readonly name: string; readonly colour: string; readonly samples: readonly MemorySample[] };

const width = 720;
const height = 300;
const margin = { left: 60, right: 20, top: 40, bottom: 40 };
const mebibyte = 1024 * 1024;

/** @param warmUpMs shaded: what does not count */
export function memoryPlot(title: string, lines: readonly Line[], warmUpMs: number): string {
  const endMs = Math.max(1, ...lines.flatMap(({ samples }) => samples.map(({ atMs }) => atMs)));
  const top =
    50 * Math.ceil(Math.max(...lines.flatMap(({ samples }) => samples.map(({ bytes }) => bytes / mebibyte))) / 50);
  const x = (ms: number) => round(margin.left + (ms / endMs) * (width - margin.left - margin.right));
  const y = (mib: number) => round(height - margin.bottom - (mib / top) * (height - margin.top - margin.bottom));
  const ticks = Array.from({ length: 6 }, (_, i) => (top / 5) * i);
  const minutes = Array.from({ length: 6 }, (_, i) => (endMs / 5) * i);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="12" fill="#333">`,
    `<title>${title}</title>`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    `<rect x="${x(0)}" y="${y(top)}" width="${round(x(warmUpMs) - x(0))}" height="${round(y(0) - y(top))}" fill="#f0f0f0"/>`,
    `<text x="${width / 2}" y="18" text-anchor="middle" font-size="15">${title}</text>`,
    ...ticks.map(
      (mib) =>
        `<line x1="${x(0)}" x2="${x(endMs)}" y1="${y(mib)}" y2="${y(mib)}" stroke="#e3e3e3"/><text x="${margin.left - 6}" y="${y(mib) + 4}" text-anchor="end">${mib}</text>`,
    ),
    ...minutes.map((ms) => `<text x="${x(ms)}" y="${height - 22}" text-anchor="middle">${round(ms / 60_000)}</text>`),
    `<text x="${width / 2}" y="${height - 6}" text-anchor="middle">minutes (shaded: warm-up)</text>`,
    `<text transform="translate(14 ${height / 2}) rotate(-90)" text-anchor="middle">MiB</text>`,
    ...lines.flatMap(({ name, colour, samples }, i) => [
      `<path d="M${samples.map(({ atMs, bytes }) => `${x(atMs)},${y(bytes / mebibyte)}`).join('L')}" fill="none" stroke="${colour}"/>`,
      `<text x="${margin.left + 10 + 150 * i}" y="34" fill="${colour}">${name}</text>`,
    ]),
    '</svg>\n',
  ].join('\n');
}

const round = (value: number): number => Math.round(value * 10) / 10;
