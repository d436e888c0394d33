// One fused pass of gradient descent with momentum. Bound by memory: 20 bytes a value.

/**
 * For every value, with all scalars float32:
 *   d = g + weightDecay * p
 *   b = momentum * b + d
 *   p -= learningRate * (shareOfGradient * d + shareOfBuffer * b)
 * The shares are 0 and 1, or with Nesterov's momentum 1 and momentum.
 */
export function sgd(
  parameters: usize,
  gradients: usize,
  buffers: usize,
  count: u32,
  learningRate: f32,
  momentum: f32,
  weightDecay: f32,
  shareOfGradient: f32,
  shareOfBuffer: f32,
): void {
  const learningRates = f32x4.splat(learningRate);
  const momenta = f32x4.splat(momentum);
  const weightDecays = f32x4.splat(weightDecay);
  const sharesOfGradient = f32x4.splat(shareOfGradient);
  const sharesOfBuffer = f32x4.splat(shareOfBuffer);
  const end: usize = (<usize>count) << 2;
  const vectorEnd = end & ~15;
  let at: usize = 0;
  for (; at < vectorEnd; at += 16) {
    const p = v128.load(parameters + at);
    const d = f32x4.add(v128.load(gradients + at), f32x4.mul(weightDecays, p));
    const b = f32x4.add(f32x4.mul(momenta, v128.load(buffers + at)), d);
    const step = f32x4.add(f32x4.mul(sharesOfGradient, d), f32x4.mul(sharesOfBuffer, b));
    v128.store(buffers + at, b);
    v128.store(parameters + at, f32x4.sub(p, f32x4.mul(learningRates, step)));
  }
  for (; at < end; at += 4) {
    const p = load<f32>(parameters + at);
    const d = load<f32>(gradients + at) + weightDecay * p;
    const b = momentum * load<f32>(buffers + at) + d;
    store<f32>(buffers + at, b);
    store<f32>(parameters + at, p - learningRate * (shareOfGradient * d + shareOfBuffer * b));
  }
}
