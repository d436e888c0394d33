/** The order in which graphs are cleaned. */

import type { Graph } from '../graph.ts';
import { mergeCommonSubexpressions } from './common-subexpressions.ts';
import { removeDeadCode } from './dead-code.ts';
import { dropExpands } from './drop-expands.ts';
import { materialiseFills, shrinkFills } from './fills.ts';
import { foldConstants } from './fold-constants.ts';
import { foldTransposes } from './fold-transposes.ts';
import { fuseGemmBias } from './gemm-bias.ts';
import { turnNarrowProducts } from './narrow-products.ts';
import { propagateZeros } from './propagate-zeros.ts';
import { readReluMasks } from './relu-masks.ts';
import { replaceRowSums } from './row-sums.ts';
import { simplify } from './simplify.ts';
import { replaceThinProducts } from './thin-products.ts';

/** Rounds of simplification; each exposes work for the next, and graphs settle in three or four. */
const roundsMax = 8;

/** One round, in order. */
const round: readonly ((graph: Graph) => Graph)[] = [
  shrinkFills,
  dropExpands,
  foldConstants,
  propagateZeros,
  simplify,
  foldTransposes,
  replaceThinProducts,
  mergeCommonSubexpressions,
  removeDeadCode,
];

/** The same function in fewer nodes. */
export function optimise(graph: Graph): Graph {
  let current = removeDeadCode(graph);
  for (let count = 0; count < roundsMax; count++) {
    const next = round.reduce((before, pass) => pass(before), current);
    const settled = next.nodes.length === current.nodes.length;
    current = next;
    if (settled) break;
  }
  return removeDeadCode(
    materialiseFills(removeDeadCode(replaceRowSums(turnNarrowProducts(fuseGemmBias(readReluMasks(current)))))),
  );
}
