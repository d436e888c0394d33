/** Finds the cells of a sweep that `train` would refuse, before the first begins. */

import { HyperpolicyError } from '../../src/contract/errors.ts';
import { grouped } from '../../src/contract/grouped.ts';
import { isEnvFile } from '../../src/envs/env-file.ts';
import type { Environment } from '../run/environment/environment.ts';
import { openEnvironment } from '../run/environment/open.ts';
import { environmentPlace } from '../run/environment-place.ts';
import { hasRunConfig, isRunBegun, readRunConfig } from '../run/run-directory.ts';
import { checkConfig } from '../run/trainable.ts';
import type { Cell } from './cell.ts';
import { type CellFault, impossibleCells, spansOf } from './cell-faults.ts';

/**
 * Asks of each cell what `train` asks before it makes anything of a run: the settings beside each other, and beside the environment. Each
 * environment is opened once, of runs that were begun once for each folder.
 * @param options.path of the sweep's file, and how many cells it has
 * @param options.runsElsewhere an environment file that is not here is told of, and its cells pass
 * @param options.tell a line for the person
 * @throws HyperpolicyError invalid_argument: cells that cannot be trained, each with the reason
 */
export async function checkCells(cells: readonly Cell[], options: CheckOptions): Promise<void> {
  const faults: CellFault[] = [];
  const places = await Promise.all(cells.map(async (cell) => ({ cell, begunIn: await begunIn(cell) })));
  const placeOf = ({ cell, begunIn }: (typeof places)[number]) => JSON.stringify([cell.config.environment, begunIn]);
  for (const same of grouped(places, placeOf).values()) {
    if (options.signal?.aborted === true) return;
    const some = same.map(({ cell }) => cell);
    faults.push(...(await faultsIn(some, same[0]!.begunIn, options)));
  }
  faults.sort((a, b) => a.index - b.index);
  if (faults.length > 0) throw impossibleCells(options.path, options.cellCount, faults);
}

type CheckOptions = {
  readonly path: string;
  readonly cellCount: number;
  readonly runsElsewhere: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly tell: (line: string) => void;
};

/** The folder that its run was begun in, whose environment file is looked for as `train --resume` does; undefined of a new run. */
async function begunIn({ runDirectory }: Cell): Promise<string | undefined> {
  if (!(await isRunBegun(runDirectory))) return undefined;
  const workingDirectory = hasRunConfig(runDirectory) ? readRunConfig(runDirectory).workingDirectory : undefined;
  return typeof workingDirectory === 'string' ? workingDirectory : process.cwd();
}

/** @param cells of one environment, in runs that were begun in one folder or not at all */
async function faultsIn(
  cells: readonly Cell[],
  begunIn: string | undefined,
  { runsElsewhere, signal, tell }: CheckOptions,
): Promise<readonly CellFault[]> {
  const { config } = cells[0]!;
  const faultOf = ({ index, group }: Cell, reason: string): CellFault => ({ index, group, reason });
  let environment: Environment;
  try {
    const place =
      begunIn === undefined ? config.environment : environmentPlace({ ...config, workingDirectory: begunIn });
    environment = await openEnvironment(place, { signal, tell });
  } catch (error) {
    if (!(error instanceof HyperpolicyError) || signal?.aborted === true) throw error;
    if (!runsElsewhere || !isEnvFile(config.environment) || error.kind !== 'not_found') {
      return cells.map((cell) => faultOf(cell, error.message));
    }
    tell(`${config.environment} is not here, so its cells ${spansOf(cells.map(({ index }) => index))} are not checked`);
    return [];
  }
  try {
    const faults: CellFault[] = [];
    for (const same of grouped(cells, withoutSeed).values()) {
      const reason = await refusalOf(same[0]!, environment);
      if (reason !== undefined) faults.push(...same.map((cell) => faultOf(cell, reason)));
    }
    return faults;
  } finally {
    await environment.dispose();
  }
}

const withoutSeed = ({ config: { loop, ...config } }: Cell): string =>
  JSON.stringify({ ...config, loop: { ...loop, seed: 0 } });

/** Why a cell cannot be trained, if it cannot. */
async function refusalOf({ trainer, config }: Cell, environment: Environment): Promise<string | undefined> {
  try {
    checkConfig(config);
    await trainer.algorithm.check({ config, environment });
    return undefined;
  } catch (error) {
    if (error instanceof HyperpolicyError) return error.message;
    throw error;
  }
}
