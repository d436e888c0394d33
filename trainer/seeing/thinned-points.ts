/** Fewer points of a long curve. A picture of some hundred pixels needs no more, and an SVG has the text of each. */

/** Curves up to this length are drawn whole; longer ones have no more points. */
const drawnPointCountMax = 2000;

/** @returns first and last point, and the lowest and the highest of each of many equal parts, so that no spike is lost; all if they are few */
export function thinned<Point extends { readonly mean: number }>(points: readonly Point[]): readonly Point[] {
  if (points.length <= drawnPointCountMax) return points;
  const partCount = drawnPointCountMax / 2 - 1;
  const kept = new Set([0, points.length - 1]);
  for (let part = 0; part < partCount; part++) {
    const [begin, end] = [part, part + 1].map((one) => Math.floor((one * points.length) / partCount));
    let [lowest, highest] = [begin!, begin!];
    for (let i = begin!; i < end!; i++) {
      if (points[i]!.mean < points[lowest]!.mean) lowest = i;
      if (points[i]!.mean > points[highest]!.mean) highest = i;
    }
    kept.add(lowest).add(highest);
  }
  return [...kept].sort((a, b) => a - b).map((i) => points[i]!);
}
