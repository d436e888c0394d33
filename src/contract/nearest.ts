/** Finds the known name that a mistyped name is meant for. */

/** The name with the fewest changed letters; of several the last, as versions rise. The last part of a dotted name counts most: a setting may be in the wrong group. */
export function nearest(given: string, known: readonly string[]): string {
  const distance = (name: string) =>
    2 * editDistance(lastPart(given), lastPart(name)) + editDistance(given, name) / 100;
  return known.reduce((best, name) => (distance(name) <= distance(best) ? name : best));
}

/** The nearest name, if at most a third of the given letters changed, of dotted names those of the last part: else it was hardly meant. */
export function meant(given: string, known: readonly string[]): string | undefined {
  const name = nearest(given, known);
  const part = lastPart(given);
  return 3 * editDistance(part, lastPart(name)) <= part.length ? name : undefined;
}

const lastPart = (name: string): string => name.slice(name.lastIndexOf('.') + 1).toLowerCase();

/** Fewest insertions, deletions and replacements of a letter, and swaps of two neighbours, between two texts (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let former: readonly number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwap ? former[j - 2]! + 1 : Number.POSITIVE_INFINITY;
      next.push(Math.min(replaced, swapped, row[j]! + 1, next[j - 1]! + 1));
    }
    former = row;
    row = next;
  }
  return row[b.length]!;
}
