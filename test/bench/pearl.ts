/**
 * Updates of hyper-pearl at paper size, HalfCheetah-Vel's sizes: meta-batches of 4 and 16 tasks with 256 rows each, and 100 transitions
 * of each for the encoder, on two threads. With `--reference PYTHON` alternating with the same networks and losses in PyTorch, with as many
 * threads (torch-reference.py). Neither side samples its batch. Ratios are our time over PyTorch's, the median over rounds; `pearl_update_ratio`
 * is that of 16 tasks. A `_cpu_ms` is processor time, which leaves out what neighbours take. A `_floor_ms` is the update's matrix products at the speed of a large product in the same run.
 *
 *     npm run bench -- pearl [--json FILE] [--reference PYTHON] [--only 4,16] [--rounds N]
 */

import { createRandom } from '../../src/contract/random.ts';
import { plainSpec } from '../../src/contract/tensor-spec.ts';
import { pearlDefaults } from '../../trainer/algorithms/pearl/config.ts';
import { createPearlNetworks } from '../../trainer/algorithms/pearl/networks.ts';
import { createPearlParameters } from '../../trainer/algorithms/pearl/parameters.ts';
import { createUpdates } from '../../trainer/algorithms/pearl/updates.ts';
import { productPeak } from './engine.ts';
import { notingEngine, type Traced } from './engine-cases.ts';
import { type Figures, report, type Target } from './measure.ts';
import type { BenchOptions } from './options.ts';
import { compareRounds, median } from './statistics.ts';
import { startTorch, type Timing, type Torch } from './torch.ts';

const threadCount = 2;
const defaultRounds = 3;
/** Tasks of an update. */
const metaBatches = ['4', '16'];
const targets: Readonly<Record<string, Target>> = { pearl_update_ratio: { bound: 'most', value: 0.75 } };

export async function run({ json, reference, only, rounds = defaultRounds }: BenchOptions): Promise<void> {
  const wanted = only?.split(',') ?? metaBatches;
  const unknown = wanted.find((count) => !metaBatches.includes(count));
  if (unknown !== undefined) throw new Error(`--only: expected some of ${metaBatches.join(', ')}, got ${unknown}`);
  const torch = reference === undefined ? undefined : startTorch(reference);
  const figures: Figures = { threads: threadCount, rounds, product_gflops: productPeak(threadCount) };
  for (const count of wanted) await compare(Number(count), { torch, rounds, figures });
  await torch?.close();
  const ratio = figures.pearl_update_16x256_ratio;
  if (ratio !== undefined) figures.pearl_update_ratio = ratio;
  figures.peak_memory_mib = process.resourceUsage().maxRSS / 1024;
  report(figures, json, targets);
}

type Measure = { readonly torch: Torch | undefined; readonly rounds: number; readonly figures: Figures };

async function compare(metaBatchSize: number, { torch, rounds, figures }: Measure): Promise<void> {
  const { update, gflop, dispose } = createStep(metaBatchSize);
  const [ours, theirs]: [Timing[], Timing[]] = [[], []];
  update();
  for (let round = 0; round < rounds; round++) {
    ours.push(timingOf(update));
    if (torch !== undefined) theirs.push(await torch.time('pearl', metaBatchSize, threadCount, 0));
    const text = (list: readonly Timing[]) => JSON.stringify(list.at(-1) ?? null);
    console.error(`${metaBatchSize}x256, round ${round + 1}: ours ${text(ours)}, PyTorch ${text(theirs)}`);
  }
  dispose();
  const key = `pearl_update_${metaBatchSize}x256`;
  const perRound = (unit: keyof Timing) => [ours, theirs].map((timings) => timings.map((timing) => timing[unit]));
  const [own, other] = perRound('ms') as [number[], number[]];
  figures[`${key}_ms`] = median(own);
  figures[`${key}_per_s`] = 1000 / median(own);
  figures[`${key}_cpu_ms`] = median(ours.map(({ cpu_ms }) => cpu_ms));
  figures[`${key}_floor_ms`] = (1000 * gflop) / (figures.product_gflops as number);
  if (torch === undefined) return;
  const { ratio, low, high } = compareRounds(own, other);
  const [ownCpu, otherCpu] = perRound('cpu_ms') as [number[], number[]];
  Object.assign(figures, {
    [`torch_${key}_ms`]: median(other),
    [`torch_${key}_cpu_ms`]: median(otherCpu),
    [`${key}_ratio`]: ratio,
    [`${key}_ratio_low`]: low,
    [`${key}_ratio_high`]: high,
    [`${key}_cpu_ratio`]: compareRounds(ownCpu, otherCpu).ratio,
  });
}

/** One update: it takes seconds. */
function timingOf(update: () => void): Timing {
  const [begin, before] = [performance.now(), process.cpuUsage()];
  update();
  const { user, system } = process.cpuUsage(before);
  return { ms: performance.now() - begin, cpu_ms: (user + system) / 1000 };
}

/** Updates on one batch of random rows. */
function createStep(metaBatchSize: number): { update(): void; readonly gflop: number; dispose(): void } {
  const specs = {
    observation: plainSpec('observation', 20),
    action: plainSpec('action', 6, { low: -1, high: 1 }),
    context: null,
  };
  const config = { ...pearlDefaults('hyper'), metaBatchSize };
  const networks = createPearlNetworks(config, specs);
  const traced: Traced[] = [];
  const updates = createUpdates({
    engine: notingEngine(threadCount, traced),
    config,
    networks,
    parameters: createPearlParameters(networks, config, 1),
    latentSize: config.latentSize,
  });
  const random = createRandom(2);
  for (const { size: _, terminated, ...fields } of [...updates.batches, ...updates.contexts]) {
    for (const field of Object.values(fields)) random.fillNormal(field);
    terminated.fill(0);
  }
  return {
    update: () => void updates.update(random),
    gflop: traced.reduce((sum, { gflop }) => sum + gflop, 0),
    dispose: () => updates.dispose(),
  };
}
