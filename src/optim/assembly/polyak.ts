// A target network follows its source. Bound by memory: 12 bytes a value.

/** For every value, with tau float32: target += tau * (source - target). */
export function polyak(target: usize, source: usize, count: u32, tau: f32): void {
  const taus = f32x4.splat(tau);
  const end: usize = (<usize>count) << 2;
  const vectorEnd = end & ~15;
  let at: usize = 0;
  for (; at < vectorEnd; at += 16) {
    const t = v128.load(target + at);
    const s = v128.load(source + at);
    v128.store(target + at, f32x4.add(t, f32x4.mul(taus, f32x4.sub(s, t))));
  }
  for (; at < end; at += 4) {
    const t = load<f32>(target + at);
    store<f32>(target + at, t + tau * (load<f32>(source + at) - t));
  }
}
