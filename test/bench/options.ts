/** Options of `npm run bench`. */

/** @param json where to write the figures; printed in any case */
export type BenchOptions = {
  readonly json?: string | undefined;
  /** A Python interpreter with the reference installed, for benches that compare with one. */
  readonly reference?: string | undefined;
  /** Of `train`: libraries to compare with, with commas between; all unless given. */
  readonly against?: string | undefined;
  /** Of `serve` and `train`: parts of the names of sections, with commas between; every section unless given. Of `maml`: policies; of `pearl`: meta-batches. */
  readonly only?: string | undefined;
  /** Of `clients`, `serve`, `train`, `maml` and `pearl`: rounds by turns. */
  readonly rounds?: number | undefined;
  /** Of `maml`: tasks of an iteration, and episodes of each. */
  readonly tasks?: number | undefined;
  readonly episodes?: number | undefined;
  /** Of `serve`: a Python interpreter with the peers' packages. */
  readonly peers?: string | undefined;
  /** Of `robot` and of each loop of `clients`: how long. `out`: where to draw it as SVG. */
  readonly seconds?: number | undefined;
  readonly out?: string | undefined;
  /** Of `serve`: a directory for CPU profiles of the server. */
  readonly profile?: string | undefined;
};
