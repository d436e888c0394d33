/**
 * From how many rows on a critic answers new rows fused. On a device always: nothing that is generated need come to the host. On the CPU the
 * two ways differ by the copy of the weights and by which code runs the dynamic network, so they are timed when the version is loaded.
 */

import { standing } from '../call/rpc.ts';
import type { NewRows } from './fused-network.ts';
import type { ProbedNetworks } from './probes.ts';

/** To be called when the networks are warm. Takes 0.3 s at most, or one round where that takes longer. */
export async function chooseNewRows(
  { device, critic, observationSize, actionSize }: ProbedNetworks,
  newRows: NewRows,
): Promise<void> {
  if (newRows !== 'auto' || device !== 'cpu' || !critic?.fused) return;
  const { fused, weights: source } = critic;
  const asked = (rowCount: number) => {
    // Each row differs: equal ones would be generated once.
    const observation = new Float32Array(rowCount * observationSize).map((_, i) => Math.floor(i / observationSize));
    return { rowCount, rows: { observation, action: new Float32Array(rowCount * actionSize) }, demand: standing };
  };
  fused.rowCountMin = await fasterFrom({
    fused: (rowCount) => fused.run(asked(rowCount)),
    kept(rowCount) {
      const run = asked(rowCount);
      const values = run.rows.observation;
      return source!.borrow({ values, rowCount }, (weights) => critic.run({ ...run, weights }));
    },
  });
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
    const least = { fused: Infinity, kept: Infinity };
    for (let round = 0; round < roundCount; round++) {
      const isFirst = round === 0 && rowCount === measuredRowCounts[0];
      if (!isFirst && clock() - beganMs > measuringMsMax) break;
      for (const way of ['kept', 'fused'] as const) {
        const startMs = clock();
        await ways[way](rowCount);
        least[way] = Math.min(least[way], clock() - startMs);
      }
    }
    if (least.fused < shareMax * least.kept) return rowCount;
  }
  return Infinity;
}
