// A row times a matrix. The matrix is read once, from front to back, four of its rows beside each other: what is not in the cache
// comes in by the processor's prefetch. Eight rows, or blocks of columns in registers, are slower.

/** y[O] = start[O] + x[I] W[I, O], summed in the order of I; `start` 0 is zeros. W is row-major. */
export function product(x: usize, w: usize, start: usize, y: usize, inCount: u32, outCount: u32): void {
  const rowBytes: usize = (<usize>outCount) << 2;
  if (start === 0) memory.fill(y, 0, rowBytes);
  else memory.copy(y, start, rowBytes);
  const groups = inCount >> 2;
  for (let group: u32 = 0; group < groups; group++) {
    fourRows(x, w, y, rowBytes);
    x += 16;
    w += rowBytes << 2;
  }
  for (let rest = inCount & 3; rest > 0; rest--) {
    oneRow(x, w, y, rowBytes);
    x += 4;
    w += rowBytes;
  }
}

function fourRows(x: usize, w0: usize, y: usize, rowBytes: usize): void {
  const x0 = v128.load32_splat(x);
  const x1 = v128.load32_splat(x, 4);
  const x2 = v128.load32_splat(x, 8);
  const x3 = v128.load32_splat(x, 12);
  const w1 = w0 + rowBytes;
  const w2 = w1 + rowBytes;
  const w3 = w2 + rowBytes;
  let at: usize = 0;
  for (const vectorEnd = rowBytes & ~15; at < vectorEnd; at += 16) {
    let sum = f32x4.add(v128.load(y + at), f32x4.mul(x0, v128.load(w0 + at)));
    sum = f32x4.add(sum, f32x4.mul(x1, v128.load(w1 + at)));
    sum = f32x4.add(sum, f32x4.mul(x2, v128.load(w2 + at)));
    v128.store(y + at, f32x4.add(sum, f32x4.mul(x3, v128.load(w3 + at))));
  }
  for (; at < rowBytes; at += 4) {
    let sum = load<f32>(y + at) + load<f32>(x) * load<f32>(w0 + at);
    sum += load<f32>(x, 4) * load<f32>(w1 + at);
    sum += load<f32>(x, 8) * load<f32>(w2 + at);
    store<f32>(y + at, sum + load<f32>(x, 12) * load<f32>(w3 + at));
  }
}

function oneRow(x: usize, w: usize, y: usize, rowBytes: usize): void {
  const value = v128.load32_splat(x);
  let at: usize = 0;
  for (const vectorEnd = rowBytes & ~15; at < vectorEnd; at += 16) {
    v128.store(y + at, f32x4.add(v128.load(y + at), f32x4.mul(value, v128.load(w + at))));
  }
  for (; at < rowBytes; at += 4) store<f32>(y + at, load<f32>(y + at) + load<f32>(x) * load<f32>(w + at));
}

/**
 * y[O] = x[I] W[O, I]^T: each output is a sum of four partial sums, those of the places 4k, 4k + 1, 4k + 2 and 4k + 3. Two outputs
 * at a time, as each waits for its last addition.
 */
export function turnedProduct(x: usize, w: usize, y: usize, inCount: u32, outCount: u32): void {
  const inBytes: usize = (<usize>inCount) << 2;
  const vectorEnd = inBytes & ~15;
  const yEnd = y + ((<usize>outCount) << 2);
  for (; y + 4 < yEnd; y += 8) {
    const next = w + inBytes;
    let sums = f32x4.splat(0);
    let nextSums = f32x4.splat(0);
    for (let at: usize = 0; at < vectorEnd; at += 16) {
      const values = v128.load(x + at);
      sums = f32x4.add(sums, f32x4.mul(values, v128.load(w + at)));
      nextSums = f32x4.add(nextSums, f32x4.mul(values, v128.load(next + at)));
    }
    store<f32>(y, wholeSum(sums, x, w, vectorEnd, inBytes));
    store<f32>(y, wholeSum(nextSums, x, next, vectorEnd, inBytes), 4);
    w = next + inBytes;
  }
  if (y === yEnd) return;
  let sums = f32x4.splat(0);
  for (let at: usize = 0; at < vectorEnd; at += 16) {
    sums = f32x4.add(sums, f32x4.mul(v128.load(x + at), v128.load(w + at)));
  }
  store<f32>(y, wholeSum(sums, x, w, vectorEnd, inBytes));
}

/** The partial sums together, and the products of the values after the last vector. */
function wholeSum(sums: v128, x: usize, w: usize, from: usize, to: usize): f32 {
  let sum = f32x4.extract_lane(sums, 0) + f32x4.extract_lane(sums, 1);
  sum += f32x4.extract_lane(sums, 2) + f32x4.extract_lane(sums, 3);
  for (let at = from; at < to; at += 4) sum += load<f32>(x + at) * load<f32>(w + at);
  return sum;
}
