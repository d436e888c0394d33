/**
 * JSON that anybody may have written, such as the files of a store: what is read of it has bounds before it takes time or memory. Without,
 * a file of some megabytes holds the event loop for seconds, and zod, which keeps an issue for every wrong entry of a list, fills the memory.
 */

import { z } from 'zod';

/**
 * Parses a text with a bounded number of lists, objects and fields: each takes a hundred times as long as a number of a list. Their marks
 * count in strings, too.
 * @throws Error if the text is no JSON, or has more of them
 */
export function parseBounded(text: string, partCountMax: number): unknown {
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code !== openBracket && code !== openBrace && code !== colon) continue;
    if (++count > partCountMax) throw new Error(`more than ${partCountMax} lists, objects and fields`);
  }
  return JSON.parse(text);
}

const openBracket = 0x5b;
const openBrace = 0x7b;
const colon = 0x3a;

/** What is wrong with a value that a schema refuses, and where in it; nowhere if it is the whole value. */
export const issueText = ({ path, message }: z.core.$ZodIssue): string =>
  path.length === 0 ? message : `${path.join('.')}: ${message}`;

/** A list of a bounded length: a longer one is refused before its entries are looked at. */
export const atMost = <Entry extends z.ZodType>(
  countMax: number,
  list: z.ZodArray<Entry>,
): z.ZodType<z.output<Entry>[], z.input<Entry>[]> =>
  z
    .custom<z.input<Entry>[]>(
      (value) => !Array.isArray(value) || value.length <= countMax,
      `expected at most ${countMax} entries`,
    )
    .pipe(list);

/** A list of any length of finite numbers. It has one issue, whatever it holds, and is not copied. */
export const numbers = () =>
  z.custom<number[]>(
    (value) => Array.isArray(value) && value.every((entry) => Number.isFinite(entry)),
    'expected a list of finite numbers',
  );
