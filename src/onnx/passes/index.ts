/** The order in which graphs are cleaned. */

import type { Graph } from '../graph.ts';
import { mergeCommonSubexpressions } from './common-subexpressions.ts';
import { removeDeadCode } from './dead-code.ts';
import { materialiseFills, shrinkFills } from './fills.ts';
import { fuseGemmBias } from './gemm-bias.ts';
import { simplify } from './simplify.ts';

/** Rounds of simplification; each exposes work for the next, and graphs settle in three or four. */
const roundsMax = 8;

/** The same function in fewer nodes. */
export function optimise(graph: Graph): Graph {
  let current = removeDeadCode(graph);
  for (let round = 0; round < roundsMax; round++) {
    const next = removeDeadCode(mergeCommonSubexpressions(simplify(shrinkFills(current))));
    const settled = next.nodes.length === current.nodes.length;
    current = next;
    if (settled) break;
  }
  return removeDeadCode(materialiseFills(removeDeadCode(fuseGemmBias(current))));
}
