/**
 * Which new rows a critic answers fused. On a device all: nothing that is generated need come to the host. On the CPU the two ways differ by
 * the copy of the weights and by which code runs the dynamic network, so they are timed when the version is loaded. Ascents are timed on a
 * device, too: each step of few rows is faster on the host.
 */

import { standing } from '../call/rpc.ts';
import type { NewRows } from './fused-network.ts';
import type { ProbedNetworks } from './probes.ts';

/** Of the ascents that are timed. */
const stepCount = 16;
const ascentRowCount = 64;
/** Rows of the ascents that tell how long a step takes on a quick device, where many rows take little longer than few. */
const deviceRowCount = 1024;
const quickMs = 50;
/** Times of equal runs differ by so much. */
const spreadShare = 0.05;

/** To be called when the networks are warm. Takes 0.3 s at most for rows and for ascents, or one round where that takes longer. */
export async function chooseNewRows(
  { device, critic, observationSize, actionSize }: ProbedNetworks,
  newRows: NewRows,
): Promise<void> {
  if (!critic?.fused) return;
  const { fused, weights: source } = critic;
  const asked = (rowCount: number) => {
    // Each row differs: equal ones would be generated once.
    const observation = new Float32Array(rowCount * observationSize).map((_, i) => Math.floor(i / observationSize));
    return { rowCount, rows: { observation, action: new Float32Array(rowCount * actionSize) }, demand: standing };
  };
  const withWeights = (rowCount: number, runCount: number) => {
    const run = asked(rowCount);
    return source!.borrow({ values: run.rows.observation, rowCount }, async (weights) => {
      for (let i = 0; i < runCount; i++) await critic.run({ ...run, weights });
    });
  };
  if (newRows === 'auto' && device === 'cpu') {
    fused.rowCountMin = await fasterFrom({
      fused: (rowCount) => fused.run(asked(rowCount)),
      kept: (rowCount) => withWeights(rowCount, 1),
    });
  }
  if (!fused.climbs) return;
  const ascend = (rowCount: number, steps: number) =>
    fused.climb(asked(rowCount), { stepCount: steps, stepSize: 1e-3, reduction: 'min' });
  try {
    // The first runs of all graphs take no step, and a device's first step may take seconds.
    await ascend(ascentRowCount, 1);
  } catch (error) {
    // Ascents are taken on the host then.
    fused.noAscents = error instanceof Error ? error.message : String(error);
    return;
  }
  const { none, steps, kept } = await leastMs({
    none: () => ascend(ascentRowCount, 0),
    steps: () => ascend(ascentRowCount, stepCount),
    kept: () => withWeights(ascentRowCount, stepCount + 1),
  });
  const rowCountMin = newRows === 'fused' ? 1 : steps < shareMax * kept ? ascentRowCount : Infinity;
  fused.ascents = { rowCountMin, timedRowCount: ascentRowCount, ...runTimes({ none, steps }) };
  if (device === 'cpu' || steps > quickMs) return;
  const many = await leastMs({
    none: () => ascend(deviceRowCount, 0),
    steps: () => ascend(deviceRowCount, stepCount),
  });
  fused.ascents = { rowCountMin, timedRowCount: deviceRowCount, ...runTimes(many) };
}

/**
 * Of an ascent's run, by the times of one without steps and one with {@link stepCount}. Where these are no longer than what times differ by
 * on their own, they count as so much: no step is free.
 */
export const runTimes = ({ none, steps }: Readonly<Record<'none' | 'steps', number>>) => ({
  startMs: none,
  stepMs: Math.max(steps - none, spreadShare * none) / stepCount,
});

/** The least time of some rounds by turns; of one, if rounds take long. */
async function leastMs<Way extends string>(
  ways: Readonly<Record<Way, () => Promise<unknown>>>,
  clock: () => number = () => performance.now(),
  beganMs = clock(),
): Promise<Record<Way, number>> {
  const names = Object.keys(ways) as Way[];
  const least = Object.fromEntries(names.map((way) => [way, Infinity])) as Record<Way, number>;
  for (let round = 0; round < roundCount; round++) {
    if (round > 0 && clock() - beganMs > measuringMsMax) break;
    for (const way of names) {
      const startMs = clock();
      await ways[way]();
      least[way] = Math.min(least[way], clock() - startMs);
    }
  }
  return least;
}

/** Runs a number of rows in each of the two ways. */
export type BothWays = Readonly<Record<'fused' | 'kept', (rowCount: number) => Promise<unknown>>>;

const measuredRowCounts = [8, 64];
const roundCount = 3;
const measuringMsMax = 300;
/** Weights that are kept may still be of use: to run fused must save so much. */
const shareMax = 0.95;

/** From how many rows on it is faster to run fused; infinite if it never is. */
export async function fasterFrom(ways: BothWays, clock: () => number = () => performance.now()): Promise<number> {
  const beganMs = clock();
  for (const rowCount of measuredRowCounts) {
    if (rowCount !== measuredRowCounts[0] && clock() - beganMs > measuringMsMax) break;
    const timed = { kept: () => ways.kept(rowCount), fused: () => ways.fused(rowCount) };
    const least = await leastMs(timed, clock, beganMs);
    if (least.fused < shareMax * least.kept) return rowCount;
  }
  return Infinity;
}
