/** The HTML around a report: one file, with its style inside and nothing loaded. */

export type Section = {
  readonly title: string;
  /** HTML. */
  readonly body: string;
};

/** Cells of a table, as text; a marked row stands out. */
export type Row = readonly string[] | { readonly cells: readonly string[]; readonly isMarked: boolean };

const style = `
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #222; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; margin: 0.8rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.25rem 0.9rem 0.25rem 0; border-bottom: 1px solid #eee; vertical-align: top; }
th { color: #555; font-weight: 600; } td.number { text-align: right; } tr.marked td { background: #fff6dd; }
figure { margin: 1rem 0; overflow-x: auto; } figure img, figure svg { max-width: 100%; height: auto; }
figcaption, .note { color: #555; font-size: 0.9rem; } summary { cursor: pointer; margin: 0.4rem 0; }
.wide { overflow-x: auto; }
`;

export const page = (title: string, sections: readonly Section[]): string => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${html(title)}</title><style>${style}</style></head>
<body>
<h1>${html(title)}</h1>
${sections.map((section) => `<section><h2>${html(section.title)}</h2>\n${section.body}\n</section>`).join('\n')}
</body>
</html>
`;

export function table(head: readonly string[], rows: readonly Row[]): string {
  const body = rows.map((row) => {
    const { cells, isMarked } = 'cells' in row ? row : { cells: row, isMarked: false };
    const shown = cells.map((cell) => `<td${isNumber(cell) ? ' class="number"' : ''}>${html(cell)}</td>`).join('');
    return `<tr${isMarked ? ' class="marked"' : ''}>${shown}</tr>`;
  });
  const titles = head.map((cell) => `<th>${html(cell)}</th>`).join('');
  return `<div class="wide"><table><thead><tr>${titles}</tr></thead><tbody>\n${body.join('\n')}\n</tbody></table></div>`;
}

const isNumber = (cell: string): boolean => /^-?[\d,]+(\.\d+)?$/.test(cell);

/** Text as HTML shows it. */
export const html = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
