/** Which known name a mistyped one was meant to be. */

/** The name that takes the fewest changes of a letter; the last part of a dotted name counts more than where it stands. */
export function nearest(given: string, known: readonly string[]): string {
  const distance = (name: string) =>
    2 * editDistance(lastPart(given), lastPart(name)) + editDistance(given, name) / 100;
  return known.reduce((best, name) => (distance(name) < distance(best) ? name : best));
}

const lastPart = (name: string): string => name.slice(name.lastIndexOf('.') + 1).toLowerCase();

/** Fewest insertions, deletions and replacements of a letter between two texts (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
