// What clipping by the global norm needs.

/**
 * Sum of the squares in float64, which float32 cannot overflow. Four running sums: value i adds to sum i mod 4, then
 * (sum 0 + sum 1) + (sum 2 + sum 3), then the last count mod 4 values one by one.
 */
export function sumOfSquares(values: usize, count: u32): f64 {
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  const end: usize = (<usize>count) << 2;
  const vectorEnd = end & ~15;
  let at: usize = 0;
  for (; at < vectorEnd; at += 16) {
    const first = v128.load64_zero(values + at);
    const second = v128.load64_zero(values + at + 8);
    const a = f64x2.promote_low_f32x4(first);
    const b = f64x2.promote_low_f32x4(second);
    low = f64x2.add(low, f64x2.mul(a, a));
    high = f64x2.add(high, f64x2.mul(b, b));
  }
  let sum =
    f64x2.extract_lane(low, 0) +
    f64x2.extract_lane(low, 1) +
    (f64x2.extract_lane(high, 0) + f64x2.extract_lane(high, 1));
  for (; at < end; at += 4) {
    const value = <f64>load<f32>(values + at);
    sum += value * value;
  }
  return sum;
}

/** For every value, with the factor float32: value *= factor. */
export function scale(values: usize, count: u32, factor: f32): void {
  const factors = f32x4.splat(factor);
  const end: usize = (<usize>count) << 2;
  const vectorEnd = end & ~15;
  let at: usize = 0;
  for (; at < vectorEnd; at += 16) {
    v128.store(values + at, f32x4.mul(v128.load(values + at), factors));
  }
  for (; at < end; at += 4) {
    store<f32>(values + at, load<f32>(values + at) * factor);
  }
}
