/** The gradient of returns with respect to the first action, by least squares over actions that were tried, and how alike two gradients are. */

/** A direction is lost if its mean and the others leave less of it than this share of its length: rounding of float32 actions is 1e-7. */
const independentShare = 1e-5;

/**
 * Slope of the plane that fits the returns best. It is the g that minimises, over all pairs of actions,
 *
 *     sum (return[n] - return[m] - g . (action[n] - action[m]))^2
 *
 * which equals ordinary least squares with an intercept: both are (X'X)^-1 X'y with the means taken off X and y. Solved by
 * Gram-Schmidt, so that X'X, whose condition is the square of that of X, is not formed.
 *
 * Source: Sarafian et al. 2021, 3.2 and appendix B.
 * @param actions [N, A]
 * @param returns [N]
 * @returns [A]; undefined if the actions do not determine it: fewer than A + 1, or they do not differ in some direction
 */
export function fitGradient(actions: ArrayLike<number>, returns: ArrayLike<number>): Float64Array | undefined {
  const count = returns.length;
  const size = actions.length / count;
  if (count <= size) return undefined;
  const given = Array.from({ length: size }, (_, dim) =>
    Float64Array.from({ length: count }, (_row, n) => actions[n * size + dim]!),
  );
  const columns = given.map(centred);
  const rest = centred(Float64Array.from(returns));
  const factor = new Float64Array(size * size); // R of X = QR
  const target = new Float64Array(size); // Q'y
  for (let dim = 0; dim < size; dim++) {
    const column = columns[dim]!;
    for (let before = 0; before < dim; before++) {
      const share = dot(columns[before]!, column);
      factor[before * size + dim] = share;
      subtract(column, columns[before]!, share);
    }
    const left = norm(column);
    // Of equal values the mean may leave their rounding, so it counts beside the values as they were given.
    if (!(left > independentShare * norm(given[dim]!))) return undefined;
    factor[dim * size + dim] = left;
    for (let n = 0; n < count; n++) column[n]! /= left;
    target[dim] = dot(column, rest);
    subtract(rest, column, target[dim]!);
  }
  return solveUpper(factor, target);
}

/** Cosine of the angle between two vectors; undefined if one is zero or not finite. */
export function cosineSimilarity(a: ArrayLike<number>, b: ArrayLike<number>): number | undefined {
  const length = norm(a) * norm(b);
  return length > 0 && length < Number.POSITIVE_INFINITY ? dot(a, b) / length : undefined;
}

function centred(values: Float64Array): Float64Array {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => value - mean);
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

const norm = (a: ArrayLike<number>): number => Math.sqrt(dot(a, a));

/** from -= share x part */
function subtract(from: Float64Array, part: Float64Array, share: number): void {
  for (let i = 0; i < from.length; i++) from[i]! -= share * part[i]!;
}

/** x of R x = b, R upper triangular, row-major. */
function solveUpper(factor: Float64Array, b: Float64Array): Float64Array {
  const size = b.length;
  const x = Float64Array.from(b);
  for (let i = size - 1; i >= 0; i--) {
    for (let k = i + 1; k < size; k++) x[i]! -= factor[i * size + k]! * x[k]!;
    x[i]! /= factor[i * size + i]!;
  }
  return x;
}
