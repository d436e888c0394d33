/** How returns are written: with decimals by their size, so that success rates of 0.72 and 0.68 are told apart as well as 720 and 680. */

/** Digits of the largest one, at least. */
const digitCountMin = 3;
/** What is smaller than this allows counts as 0. */
const decimalCountMax = 12;

/**
 * Decimals of returns that stand beside each other, such as a mean and its deviation: 1 where the largest is from 10, 2 from 1, 3 from 0.1,
 * and so on.
 */
export function returnDecimalCount(returns: readonly number[]): number {
  const sizes = returns.map(Math.abs).filter(Number.isFinite);
  const largest = sizes.reduce((one, other) => Math.max(one, other), 0);
  if (largest === 0) return 1;
  const decimalCount = digitCountMin - 1 - Math.floor(Math.log10(largest));
  return Math.min(Math.max(1, decimalCount), decimalCountMax);
}

/** Returns that stand beside each other, as texts. */
export function returnTexts<T extends readonly number[]>(...returns: T): { [index in keyof T]: string };
export function returnTexts(...returns: readonly number[]): string[] {
  const decimalCount = returnDecimalCount(returns);
  return returns.map((value) => value.toFixed(decimalCount));
}

export function beforeAndAfterText(before: number, after: number): string {
  const texts = returnTexts(before, after);
  return `${texts[0]} before, ${texts[1]} after`;
}
