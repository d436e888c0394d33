/** Numbers in flags and variables, which people write in several ways. */

const decimal = /^[+-]?(\d+(_\d+)*\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** A number as people write it: `1e6`, `.5`, `1_000_000`. NaN, which no bounds allow, if it is none. */
export function writtenNumber(text: string): number {
  const trimmed = text.trim();
  return decimal.test(trimmed) ? Number(trimmed.replaceAll('_', '')) : Number.NaN;
}
