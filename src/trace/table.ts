/** The README's table of operators, generated from the registries. */

import { gradients } from './gradients/index.ts';
import { kernelFamilies } from './kernels/index.ts';

/** A Markdown table: one row per kernel, with its family and how it is differentiated. */
export function operatorTable(): string {
  const rows = Object.entries(kernelFamilies).flatMap(([family, kernels]) =>
    Object.keys(kernels)
      .sort()
      .map((name) => [family, `\`${name}\``, differentiation(name)]),
  );
  const table = [['family', 'tfjs kernel', 'gradient'], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((cells) => cells[column]!.length)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  const rule = widths.map((width) => '-'.repeat(width));
  return [line(table[0]!), line(rule), ...table.slice(1).map(line)].join('\n');
}

function differentiation(name: string): string {
  const rule = gradients[name];
  if (rule === undefined) return 'no inputs';
  return rule.isZero === true ? 'zero' : 'any order';
}
