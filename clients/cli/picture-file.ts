/** Charts as files: checked before a command's work, drawn at its end. */

import { extname } from 'node:path';
import { invalidArgument } from '../../src/contract/errors.ts';
import type { Panel } from '../../trainer/seeing/curve-chart.ts';
import { checkWritableFile, writeChecked } from './checks.ts';

/**
 * @param flag that names the file
 * @param endings with their dots
 * @throws HyperpolicyError invalid_argument: another ending; failed_precondition: it could not be written
 */
export function checkFileEnding(flag: string, path: string, endings: readonly [string, string]): void {
  if (!endings.includes(extname(path).toLowerCase())) {
    const expected = `a file that ends in ${endings.join(' or ')}`;
    throw invalidArgument({ where: flag, expected, actual: `"${path}"` });
  }
  checkWritableFile(flag, path);
}

export const pictureEndings = ['.svg', '.png'] as const;

/** Draws panels into a file that was checked. @param flag that names it */
export async function writePicture(flag: string, path: string, panels: readonly Panel[]): Promise<void> {
  const { curveChart } = await import('../../trainer/seeing/curve-chart.ts');
  const { drawPng, drawSvg } = await import('../../trainer/seeing/drawing.ts');
  const svg = await drawSvg(curveChart(panels));
  writeChecked(flag, path, extname(path).toLowerCase() === '.png' ? await drawPng(svg) : svg);
}
