/** Draws a Vega-Lite chart as SVG, and any SVG as PNG. The libraries load at the first picture: they take a second. */

import type { TopLevelSpec } from 'vega-lite';
import { failedPrecondition } from '../../src/contract/errors.ts';

/** Fonts that every viewer has at least one of. */
export const fontFamilies = 'Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif';

/** @param chart with its data inside: nothing is loaded */
export async function drawSvg(chart: TopLevelSpec): Promise<string> {
  const [{ compile }, vega] = await Promise.all([import('vega-lite'), import('vega')]);
  const view = new vega.View(vega.parse(compile(chart).spec), { renderer: 'none', logLevel: vega.Error });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/**
 * @param scale pixels per unit of the SVG
 * @throws HyperpolicyError failed_precondition: this machine has no font, so that the text would be missing
 */
export async function drawPng(svg: string, scale = 2): Promise<Uint8Array> {
  const { Resvg } = await import('@resvg/resvg-js');
  const font = { loadSystemFonts: true };
  const word = `<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text y="9">x</text></svg>`;
  if (new Resvg(word, { font }).getBBox() === undefined) {
    throw failedPrecondition({
      where: 'PNG',
      expected: 'a font on this machine',
      actual: 'none',
      remedy: 'Install one (Debian: fonts-dejavu-core), or write an SVG',
    });
  }
  return new Resvg(svg, { font, fitTo: { mode: 'zoom', value: scale } }).render().asPng();
}
