/** y[1] = the sum of n values, in their order. */
export function sum(x: usize, y: usize, count: u32): void {
  const end = x + ((<usize>count) << 2);
  let total: f32 = 0;
  for (; x < end; x += 4) total += load<f32>(x);
  store<f32>(y, total);
}

/** y[n] = x. */
export function copy(x: usize, y: usize, count: u32): void {
  memory.copy(y, x, (<usize>count) << 2);
}
