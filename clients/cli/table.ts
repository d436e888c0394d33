/** Tables on the console. */

export type Column<Entry> = { readonly title: string; readonly cell: (entry: Entry) => string | number };

/** A line of titles and one for each entry, with words to the left and numbers to the right of a column. */
export function table<Entry>(columns: readonly Column<Entry>[], entries: readonly Entry[]): string {
  const cells = columns.map(({ title, cell }) => aligned(title, entries.map(cell)));
  const lines = cells[0]!.map((_, line) =>
    cells
      .map((column) => column[line]!)
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

/** Title and values of one column, all equally wide. */
function aligned(title: string, values: readonly (string | number)[]): string[] {
  const texts = [title, ...values.map((value) => (typeof value === 'number' ? value.toLocaleString('en') : value))];
  const width = Math.max(...texts.map((text) => text.length));
  const isNumeric = values.every((value) => typeof value === 'number');
  return texts.map((text) => (isNumeric ? text.padStart(width) : text.padEnd(width)));
}
