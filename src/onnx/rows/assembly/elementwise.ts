// Value by value. Operations are numbered as in ../kernels.ts.

/** y[n] = a op b. A step of 0 takes the same value throughout, a step of 4 the next. */
export function binary(op: u32, a: usize, aStep: usize, b: usize, bStep: usize, y: usize, count: u32): void {
  const end: usize = (<usize>count) << 2;
  const vectorEnd = end & ~15;
  let at: usize = 0;
  for (; at < vectorEnd; at += 16) {
    const left = aStep === 0 ? v128.load32_splat(a) : v128.load(a + at);
    const right = bStep === 0 ? v128.load32_splat(b) : v128.load(b + at);
    v128.store(y + at, joined(op, left, right));
  }
  for (; at < end; at += 4) {
    const left = v128.load32_splat(aStep === 0 ? a : a + at);
    const right = v128.load32_splat(bStep === 0 ? b : b + at);
    store<f32>(y + at, f32x4.extract_lane(joined(op, left, right), 0));
  }
}

function joined(op: u32, left: v128, right: v128): v128 {
  switch (op) {
    case 0:
      return f32x4.add(left, right);
    case 1:
      return f32x4.sub(left, right);
    case 2:
      return f32x4.mul(left, right);
    case 3:
      return f32x4.div(left, right);
    case 4:
      return f32x4.min(left, right);
    case 5:
      return f32x4.max(left, right);
    default:
      // 1 where it is true, 0 elsewhere.
      return v128.and(f32x4.gt(left, right), f32x4.splat(1));
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
