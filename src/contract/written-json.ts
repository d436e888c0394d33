/** JSON that a person wrote: an object that gives a name twice is a mistake, of which `JSON.parse` takes the last value without a word. */

/**
 * Parses a text, which may begin with a byte order mark: some editors write one.
 * @throws Error if it is no JSON, or an object of it has a name twice; then with the lines of both
 */
export function parseWrittenJson(text: string): unknown {
  const value: unknown = JSON.parse(text.replace(/^\uFEFF/, ''));
  refuseRepeatedNames(text);
  return value;
}

/** A string, with the colon if it is a name, or where an object begins or ends. */
const partPattern = /"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?|[{}]/g;

/**
 * @param text valid JSON
 * @throws Error if an object has a name twice, with the lines of both
 */
export function refuseRepeatedNames(text: string): void {
  /** Of each open object, where its names are. */
  const open: Map<string, number>[] = [];
  for (const { 0: part, 1: written, 2: colon, index } of text.matchAll(partPattern)) {
    if (part === '{') open.push(new Map());
    else if (part === '}') open.pop();
    else if (colon !== undefined) {
      // As one text may be written in several ways.
      const name = JSON.parse(`"${written}"`) as string;
      const names = open.at(-1)!;
      const first = names.get(name);
      if (first !== undefined) {
        const lines = [...new Set([first, index].map((at) => text.slice(0, at).split('\n').length))];
        throw new Error(`${JSON.stringify(name)} twice in an object (line ${lines.join(' and line ')})`);
      }
      names.set(name, index);
    }
  }
}
