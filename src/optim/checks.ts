/** Argument checks of the optimisers. */

type Range = { readonly min?: number; readonly above?: number; readonly below?: number; readonly max?: number };

/** @throws RangeError if `value` is not a finite number of the range */
export function checkNumber(where: string, value: number, { min, above, below, max }: Range): void {
  const inside =
    Number.isFinite(value) &&
    (min === undefined || value >= min) &&
    (above === undefined || value > above) &&
    (below === undefined || value < below) &&
    (max === undefined || value <= max);
  if (inside) return;
  const bounds = [
    min === undefined ? [] : `at least ${min}`,
    above === undefined ? [] : `above ${above}`,
    below === undefined ? [] : `below ${below}`,
    max === undefined ? [] : `at most ${max}`,
  ].flat();
  throw new RangeError(`${where}: expected a number ${bounds.join(' and ')}, got ${value}`);
}

/** @throws RangeError if two arrays that go together differ in length */
export function checkSameLength(where: string, array: Float32Array, other: Float32Array): void {
  if (array.length === other.length) return;
  throw new RangeError(`${where}: expected ${other.length} values, got ${array.length}`);
}
