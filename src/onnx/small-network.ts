/**
 * Runs a small network on the calling thread: a few rows one by one in WASM, more of them (or graphs that the row programs cannot
 * compute) with ONNX Runtime over tensors that are made once per number of rows. Everything that acts for one environment or
 * robot goes this way, in the server as in an evaluation, so that the same observation gives the same bits.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { sizeOf } from '../contract/counts.ts';
import { rowIndexTensor } from './row-index.ts';
import { planRows } from './rows/plan.ts';
import { NotByRow } from './rows/planning.ts';
import { openRowNetwork, type RowNetwork, type RowResults, type RowRun, type RowWeights } from './rows/row-network.ts';
import { floatTensor, type Session, type TensorMap } from './session.ts';

/** Generated weights, as blocks and as feeds. */
export type SmallWeights = RowWeights & { readonly feeds: () => TensorMap };

/** One run; the weights where a primary generates them. */
type SmallRun = RowRun & { readonly weights?: SmallWeights | undefined };

export type SmallNetwork = {
  /** Multiplications of one row; about as many as the graph has weights where it cannot be planned. */
  readonly workPerRow: number;
  /**
   * Few rows of a small graph, and all rows of a generated one, run one by one: each result then depends on its row alone.
   * @returns values per output, the caller's own; a promise where many rows run one by one, with turns of the event loop between
   */
  run(run: SmallRun): RowResults | Promise<RowResults>;
  /** The same bits, always at once, for callers without other work on the thread. */
  runAtOnce(run: SmallRun): RowResults;
};

export type SmallNetworkOptions = {
  /** The bytes of the session's ONNX file. */
  readonly model: Uint8Array;
  /** Used, not owned. */
  readonly session: Session;
  /** Inputs that a primary generates, in the order in which a block has them. */
  readonly weightNames?: readonly string[];
};

/**
 * Multiplications up to which rows run one by one. Measured: a run of ONNX Runtime costs 10 to 40 us however small; the row
 * programs compute about 12,000 multiplications in a microsecond.
 */
const rowWorkMax = 2 ** 18;

/** Multiplications of one turn of the event loop, about 0.2 ms. */
const turnWorkMax = 2 ** 19;

/** ONNX Runtime's tensors are kept for up to so many rows. */
const keptRowCountMax = 64;

export function createSmallNetwork({ model, session, weightNames = [] }: SmallNetworkOptions): SmallNetwork {
  const isGenerated = weightNames.length > 0;
  // Of a graph that holds its weights, the bytes say how much there is to compute: a large one is not even planned.
  const isSmall = isGenerated || model.byteLength / 4 <= 2 * rowWorkMax;
  const byRow = isSmall ? openByRow(model, weightNames) : undefined;
  const rowCountMax = byRow === undefined ? 0 : rowsByRow(byRow, isGenerated);
  const together = new TogetherRuns(session, weightNames);

  function runAtOnce(run: SmallRun): RowResults {
    if (byRow === undefined || run.rowCount > rowCountMax) return together.run(run);
    const results = byRow.results(run.rowCount);
    byRow.compute(run, 0, run.rowCount, results);
    return results;
  }

  return {
    workPerRow: byRow?.workPerRow ?? model.byteLength / 4,
    runAtOnce,
    run(run) {
      if (byRow === undefined || run.rowCount > rowCountMax) return together.run(run);
      const turnRowCount = Math.max(1, Math.floor(turnWorkMax / Math.max(1, byRow.workPerRow)));
      return run.rowCount > turnRowCount ? runInTurns(byRow, run, turnRowCount) : runAtOnce(run);
    },
  };
}

async function runInTurns(network: RowNetwork, run: SmallRun, turnRowCount: number): Promise<RowResults> {
  const results = network.results(run.rowCount);
  for (let from = 0; from < run.rowCount; from += turnRowCount) {
    if (from > 0) await nextTurn();
    network.compute(run, from, Math.min(from + turnRowCount, run.rowCount), results);
  }
  return results;
}

/** Runs of all rows by ONNX Runtime. */
class TogetherRuns {
  readonly #session: Session;
  /** But for weights and the row -> context input. */
  readonly #inputs: Session['inputs'];
  readonly #takesIndex: boolean;
  /** Tensors by number of rows. */
  readonly #kept: ({ readonly feeds: TensorMap; readonly fetches: TensorMap } | undefined)[] = [];

  constructor(session: Session, weightNames: readonly string[]) {
    this.#session = session;
    this.#inputs = session.inputs.filter(({ name, dtype }) => dtype === 'float32' && !weightNames.includes(name));
    this.#takesIndex = session.inputs.some(({ name }) => name === 'index');
  }

  run({ rowCount, rows, weights }: SmallRun): RowResults {
    const { feeds, fetches } = this.#tensors(rowCount);
    for (const { name } of this.#inputs) {
      const values = feeds[name]!.data as Float32Array;
      const given = rows[name];
      if (given === undefined) values.fill(0);
      else values.set(given);
    }
    const index = this.#takesIndex ? { index: rowIndexTensor(weights?.index, rowCount) } : {};
    // Not into the kept feeds: weights may be evicted.
    this.#session.run({ ...feeds, ...weights?.feeds(), ...index }, fetches);
    const results: Record<string, Float32Array> = {};
    for (const { name } of this.#session.outputs) {
      const values = fetches[name]!.data as Float32Array;
      results[name] = rowCount <= keptRowCountMax ? values.slice() : values;
    }
    return results;
  }

  #tensors(rowCount: number): { readonly feeds: TensorMap; readonly fetches: TensorMap } {
    const tensors = this.#kept[rowCount] ?? {
      feeds: tensorsFor(this.#inputs, rowCount),
      fetches: tensorsFor(this.#session.outputs, rowCount),
    };
    if (rowCount <= keptRowCountMax) this.#kept[rowCount] = tensors;
    return tensors;
  }
}

const tensorsFor = (tensors: Session['inputs'], rowCount: number): TensorMap =>
  Object.fromEntries(
    tensors.map(({ name, shape }) => {
      const sizes = [rowCount, ...(shape.slice(1) as number[])];
      return [name, floatTensor(new Float32Array(sizeOf(sizes)), sizes)];
    }),
  );

/** ONNX Runtime would copy a row's generated weights before it uses them, so those networks run by row always. */
const rowsByRow = ({ workPerRow }: RowNetwork, isGenerated: boolean): number =>
  isGenerated ? Number.POSITIVE_INFINITY : Math.floor(rowWorkMax / Math.max(1, workPerRow));

/**
 * Whether the cost of a row is known and bounded before the graph is opened or run. Only such a graph may run on a thread that others
 * need. Control flow, and sizes that depend on values, have no known bound.
 */
export function isBounded(model: Uint8Array, weightNames: readonly string[]): boolean {
  try {
    planRows(model, weightNames);
    return true;
  } catch {
    // Whoever opens the bytes reports that they are no model.
    return false;
  }
}

function openByRow(model: Uint8Array, weightNames: readonly string[]): RowNetwork | undefined {
  try {
    return openRowNetwork(model, weightNames);
  } catch (error) {
    if (error instanceof NotByRow) return undefined;
    throw error;
  }
}
