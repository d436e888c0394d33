// Value by value. Operations are numbered as in ../kernels.ts.

/** Four times the value of an operand that has one. */
const left = memory.data(16, 16);
const right = memory.data(16, 16);

/** y[n] = a op b. A step of 0 takes the same value throughout, a step of 4 the next. A loop for each operation: three times as fast. */
export function binary(op: u32, a: usize, aStep: usize, b: usize, bStep: usize, y: usize, count: u32): void {
  if (aStep === 0) {
    v128.store(left, v128.load32_splat(a));
    a = left;
  }
  if (bStep === 0) {
    v128.store(right, v128.load32_splat(b));
    b = right;
  }
  const aNext = aStep << 2;
  const bNext = bStep << 2;
  const end = y + ((<usize>count) << 2);
  const vectorEnd = y + (((<usize>count) << 2) & ~15);
  switch (op) {
    case 0:
      for (; y < vectorEnd; a += aNext, b += bNext, y += 16) {
        v128.store(y, f32x4.add(v128.load(a), v128.load(b)));
      }
      break;
    case 1:
      for (; y < vectorEnd; a += aNext, b += bNext, y += 16) {
        v128.store(y, f32x4.sub(v128.load(a), v128.load(b)));
      }
      break;
    case 2:
      for (; y < vectorEnd; a += aNext, b += bNext, y += 16) {
        v128.store(y, f32x4.mul(v128.load(a), v128.load(b)));
      }
      break;
    case 3:
      for (; y < vectorEnd; a += aNext, b += bNext, y += 16) {
        v128.store(y, f32x4.div(v128.load(a), v128.load(b)));
      }
      break;
    case 4:
      for (; y < vectorEnd; a += aNext, b += bNext, y += 16) {
        v128.store(y, f32x4.min(v128.load(a), v128.load(b)));
      }
      break;
    case 5:
      for (; y < vectorEnd; a += aNext, b += bNext, y += 16) {
        v128.store(y, f32x4.max(v128.load(a), v128.load(b)));
      }
      break;
    default:
      for (; y < vectorEnd; a += aNext, b += bNext, y += 16) {
        v128.store(y, v128.and(f32x4.gt(v128.load(a), v128.load(b)), f32x4.splat(1)));
      }
  }
  for (; y < end; a += aStep, b += bStep, y += 4) {
    store<f32>(y, f32x4.extract_lane(joined(op, v128.load32_splat(a), v128.load32_splat(b)), 0));
  }
}

function joined(op: u32, a: v128, b: v128): v128 {
  switch (op) {
    case 0:
      return f32x4.add(a, b);
    case 1:
      return f32x4.sub(a, b);
    case 2:
      return f32x4.mul(a, b);
    case 3:
      return f32x4.div(a, b);
    case 4:
      return f32x4.min(a, b);
    case 5:
      return f32x4.max(a, b);
    default:
      // 1 where it is true, 0 elsewhere.
      return v128.and(f32x4.gt(a, b), f32x4.splat(1));
  }
}

/** y[n] = op x. */
export function unary(op: u32, x: usize, y: usize, count: u32): void {
  const end: usize = (<usize>count) << 2;
  for (let at: usize = 0; at < end; at += 4) store<f32>(y + at, changed(op, load<f32>(x + at)));
}

function changed(op: u32, x: f32): f32 {
  switch (op) {
    case 0:
      return -x;
    case 1:
      return Mathf.abs(x);
    case 2:
      return Mathf.sqrt(x);
    case 3:
      return Mathf.exp(x);
    case 4:
      return Mathf.log(x);
    case 5:
      return Mathf.tanh(x);
    case 6:
      return 1 / (1 + Mathf.exp(-x));
    default:
      // Softplus, without overflow.
      return Mathf.max(x, 0) + Mathf.log1p(Mathf.exp(-Mathf.abs(x)));
  }
}
