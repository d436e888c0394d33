// One fused pass of Adam and AdamW: reads gradients, rewrites parameters and both moments. Bound by memory: 28 bytes a value.

/** Bits of float32 infinity. As an integer without sign, every finite value that is not negative is less, and every NaN more. */
const infinityBits: u32 = 0x7f800000;

/**
 * For every value, with all scalars float32:
 *   m += blend1 * (g - m)
 *   v = beta2 * v + (blend2 * g) * g
 *   p = decay * p - (stepSize * m) / (sqrt(v) * rescale2 + epsilon)
 * @returns whether all new v are finite. If they are, so are the new m and p of finite old ones, with learning rates of at most 1: the
 *   square of a gradient is infinite long before anything else
 */
export function adam(
  parameters: usize,
  gradients: usize,
  moments1: usize,
  moments2: usize,
  count: u32,
  blend1: f32,
  beta2: f32,
  blend2: f32,
  stepSize: f32,
  rescale2: f32,
  epsilon: f32,
  decay: f32,
): bool {
  const blend1s = f32x4.splat(blend1);
  const beta2s = f32x4.splat(beta2);
  const blend2s = f32x4.splat(blend2);
  const stepSizes = f32x4.splat(stepSize);
  const rescale2s = f32x4.splat(rescale2);
  const epsilons = f32x4.splat(epsilon);
  const decays = f32x4.splat(decay);
  const end: usize = (<usize>count) << 2;
  const vectorEnd = end & ~15;
  let largest = i32x4.splat(0);
  let at: usize = 0;
  for (; at < vectorEnd; at += 16) {
    const g = v128.load(gradients + at);
    let m = v128.load(moments1 + at);
    let v = v128.load(moments2 + at);
    const p = v128.load(parameters + at);
    m = f32x4.add(m, f32x4.mul(blend1s, f32x4.sub(g, m)));
    v = f32x4.add(f32x4.mul(beta2s, v), f32x4.mul(f32x4.mul(blend2s, g), g));
    largest = i32x4.max_u(largest, v);
    const scale = f32x4.add(f32x4.mul(f32x4.sqrt(v), rescale2s), epsilons);
    v128.store(moments1 + at, m);
    v128.store(moments2 + at, v);
    v128.store(parameters + at, f32x4.sub(f32x4.mul(decays, p), f32x4.div(f32x4.mul(stepSizes, m), scale)));
  }
  let isSound = !v128.any_true(i32x4.ge_u(largest, i32x4.splat(infinityBits)));
  for (; at < end; at += 4) {
    const g = load<f32>(gradients + at);
    let m = load<f32>(moments1 + at);
    let v = load<f32>(moments2 + at);
    m = m + blend1 * (g - m);
    v = beta2 * v + blend2 * g * g;
    store<f32>(moments1 + at, m);
    store<f32>(moments2 + at, v);
    if (reinterpret<u32>(v) >= infinityBits) isSound = false;
    const scale = sqrt<f32>(v) * rescale2 + epsilon;
    store<f32>(parameters + at, decay * load<f32>(parameters + at) - (stepSize * m) / scale);
  }
  return isSound;
}
