/** Plain float32 programs that the kernels must equal bit for bit: each operation rounded once, in the kernels' order. */

const f = Math.fround;

export function fill(array: Float32Array, draw: () => number): void {
  for (let i = 0; i < array.length; i++) array[i] = draw();
}

/** Of this process so far: a time that other processes do not lengthen. */
export function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

export type AdamReference = {
  parameters: Float32Array;
  gradients: Float32Array;
  moment1: Float32Array;
  moment2: Float32Array;
};

export function adamReference(
  { parameters: p, gradients, moment1: m, moment2: v }: AdamReference,
  stepCount: number,
  { learningRate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = {},
): void {
  const blend1 = f(1 - beta1);
  const blend2 = f(1 - beta2);
  const stepSize = f(learningRate / (1 - beta1 ** stepCount));
  const rescale2 = f(1 / Math.sqrt(1 - beta2 ** stepCount));
  const decay = f(1 - learningRate * weightDecay);
  for (let i = 0; i < p.length; i++) {
    const g = gradients[i]!;
    m[i] = f(m[i]! + f(blend1 * f(g - m[i]!)));
    v[i] = f(f(f(beta2) * v[i]!) + f(f(blend2 * g) * g));
    const scale = f(f(f(Math.sqrt(v[i]!)) * rescale2) + f(epsilon));
    p[i] = f(f(decay * p[i]!) - f(f(stepSize * m[i]!) / scale));
  }
}

export function polyakReference(target: Float32Array, source: Float32Array, tau: number): void {
  for (let i = 0; i < target.length; i++) {
    target[i] = f(target[i]! + f(f(tau) * f(source[i]! - target[i]!)));
  }
}

export function sgdReference(
  { parameters: p, gradients, buffer }: { parameters: Float32Array; gradients: Float32Array; buffer: Float32Array },
  {
    learningRate,
    momentum,
    nesterov,
    weightDecay,
  }: { learningRate: number; momentum: number; nesterov: boolean; weightDecay: number },
): void {
  for (let i = 0; i < p.length; i++) {
    const d = f(gradients[i]! + f(f(weightDecay) * p[i]!));
    const b = f(f(f(momentum) * buffer[i]!) + d);
    buffer[i] = b;
    const step = nesterov ? f(d + f(f(momentum) * b)) : b;
    p[i] = f(p[i]! - f(f(learningRate) * step));
  }
}

/** Float64 throughout, in the kernel's order: four running sums, then the remainder. */
export function sumOfSquaresReference(values: Float32Array): number {
  const sums = [0, 0, 0, 0];
  const vectorEnd = values.length - (values.length % 4);
  for (let i = 0; i < vectorEnd; i++) sums[i % 4]! += values[i]! * values[i]!;
  let sum = sums[0]! + sums[1]! + (sums[2]! + sums[3]!);
  for (let i = vectorEnd; i < values.length; i++) sum += values[i]! * values[i]!;
  return sum;
}
