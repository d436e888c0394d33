/** Run directories as runs leave them, without training. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadAlgorithm } from '../../../trainer/algorithms/registry.ts';
import { completeConfig } from '../../../trainer/run/complete-config.ts';

export type WrittenRun = {
  readonly critic?: string;
  readonly environment?: string;
  readonly seed: number;
  readonly batchSize?: number;
  /** Of the loop. */
  readonly loop?: Readonly<Record<string, number>>;
  /** Evaluations by step. */
  readonly returns: Readonly<Record<number, number>>;
  /** Of each evaluation; 5 unless given. */
  readonly deviation?: number;
  /** Of those on tasks beyond the training range, the same in each evaluation. */
  readonly outOfRangeReturn?: number;
};

export async function writeRun(
  runs: string,
  {
    critic = 'mlp-small',
    environment = 'Pendulum-v1',
    seed,
    batchSize,
    loop,
    returns,
    deviation = 5,
    outOfRangeReturn,
  }: WrittenRun,
): Promise<string> {
  const directory = join(runs, `${environment}-${critic}-${batchSize ?? 100}-seed${seed}`);
  const algorithm = { critic: { architecture: critic }, ...(batchSize !== undefined && { batchSize }) };
  const given = { environment, threadCount: 1, algorithm, loop: { ...loop, seed } };
  const records = Object.entries(returns).map(([step, value]) => ({
    step: Number(step),
    seconds: 1,
    evaluationReturn: value,
    evaluationStandardDeviation: deviation,
    ...(outOfRangeReturn !== undefined && { outOfRangeReturn }),
  }));
  return writeFiles(directory, 'td3', given, records);
}

/** A MAML run with evaluations at steps 0 and 10. @param returns before and after adaptation, at either */
export async function writeMamlRun(
  runs: string,
  seed: number,
  returns: readonly (readonly [before: number, after: number])[],
  policy = 'maml',
): Promise<string> {
  const records = returns.map(([before, after], i) => ({
    step: 10 * i,
    seconds: 1,
    testPreReturn: before,
    testPreDeviation: 2,
    evaluationReturn: after,
    evaluationStandardDeviation: 5,
  }));
  const given = { environment: 'Point-Robot', threadCount: 1, algorithm: { policy }, loop: { seed } };
  return writeFiles(join(runs, `${policy}-seed${seed}`), 'maml', given, records);
}

/** A PEARL run of seed 0, as writeMamlRun. */
export async function writePearlRun(
  runs: string,
  agent: string,
  returns: readonly (readonly [before: number, after: number])[],
): Promise<string> {
  const records = returns.map(([before, after], i) => ({
    step: 10 * i,
    seconds: 1,
    explorationReturn: before,
    explorationStandardDeviation: 2,
    evaluationReturn: after,
    evaluationStandardDeviation: 5,
  }));
  const given = { environment: 'Point-Robot', threadCount: 1, algorithm: { agent }, loop: { seed: 0 } };
  return writeFiles(join(runs, `pearl-${agent}`), 'pearl', given, records);
}

async function writeFiles(
  directory: string,
  algorithm: string,
  given: Parameters<typeof completeConfig>[1],
  records: readonly object[],
): Promise<string> {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'config.json'), JSON.stringify(completeConfig(await loadAlgorithm(algorithm), given)));
  writeFileSync(join(directory, 'metrics.jsonl'), records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  return directory;
}
