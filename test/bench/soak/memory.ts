/**
 * Whether memory is flat. A process that collects garbage goes up and down, so what counts is the least of each window: what is
 * still held after the best collection in it. Over these a line is laid; memory is flat where the line rises, from the end of the
 * warm-up to the end, by no more than `growthMax` bytes.
 */

export type MemorySample = { readonly atMs: number; readonly bytes: number };

export type Flatness = {
  /** Of the line, at the end of the warm-up and at the end. */
  readonly startBytes: number;
  readonly endBytes: number;
  readonly growthBytes: number;
  readonly slopeBytesPerHour: number;
  readonly growthMaxBytes: number;
  readonly isFlat: boolean;
};

export type FlatnessRule = {
  /** Before it nothing counts: code is compiled, pools and caches fill. */
  readonly warmUpMs: number;
  readonly windowCount: number;
  /** Growth that is allowed: this many bytes, or this share of the start where it is more. */
  readonly growthMaxBytes: number;
  readonly growthMaxShare: number;
};

/**
 * @param samples in the order of time
 * @throws RangeError where a window has no sample
 */
export function judgeFlatness(samples: readonly MemorySample[], rule: FlatnessRule): Flatness {
  const { warmUpMs, windowCount, growthMaxBytes, growthMaxShare } = rule;
  const endMs = samples.at(-1)?.atMs ?? 0;
  const widthMs = (endMs - warmUpMs) / windowCount;
  const points = Array.from({ length: windowCount }, (_, i) => {
    const fromMs = warmUpMs + i * widthMs;
    const inside = samples.filter(({ atMs }) => atMs >= fromMs && atMs <= fromMs + widthMs);
    if (inside.length === 0) throw new RangeError(`memory: expected a sample in window ${i}, got none`);
    return { x: fromMs + widthMs / 2, y: Math.min(...inside.map(({ bytes }) => bytes)) };
  });
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / windowCount;
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / windowCount;
  const slope =
    points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) /
    points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0);
  const lineAt = (ms: number) => meanY + slope * (ms - meanX);
  const startBytes = lineAt(warmUpMs);
  const growthBytes = lineAt(endMs) - startBytes;
  const allowed = Math.max(growthMaxBytes, growthMaxShare * startBytes);
  return {
    startBytes,
    endBytes: startBytes + growthBytes,
    growthBytes,
    slopeBytesPerHour: slope * 3_600_000,
    growthMaxBytes: allowed,
    isFlat: growthBytes <= allowed,
  };
}
