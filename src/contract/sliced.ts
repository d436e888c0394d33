/** Long work that gives its caller turns. */

/** Work in slices of some tenths of a millisecond. The caller may do something else after each slice. */
export type Sliced<T> = Generator<void, T>;

/** Runs sliced work to its end. */
export function runToEnd<T>(work: Sliced<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}
