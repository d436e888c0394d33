/** What the traffic of one client feels while new versions are loaded and swapped in: packages with both hyper networks. */

import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { ActResponseSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { type Call, paths, rawClient } from './serve-client.ts';
import { startServerProcess } from './serve-processes.ts';
import { actPayload } from './serve-requests.ts';
import { serial } from './serve-rounds.ts';
import { publish, type ServeBench } from './serve-setup.ts';
import { median, quantile, summarise } from './statistics.ts';

const swapCount = 5;
const callsPerLook = 50;
const warmCallCount = 2000;
/** Calls after the new version answers: the old one is freed then. */
const aftermathCount = 500;

/**
 * Versions are published aside and moved into the store by a rename, so that this process is not busy while it measures. The window
 * of a swap goes from the rename to the first answers of the new version and `aftermathCount` calls more; before each there is one
 * with as many calls as the window before had.
 */
export async function reload({ figures, onEnd }: ServeBench): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-bench-reload-'));
  onEnd(() => rm(directory, { recursive: true, force: true }));
  const aside = join(directory, 'aside');
  const store = join(directory, 'store');
  for (let version = 1; version <= swapCount + 1; version++) await publish(aside, 'reload');
  await mkdir(join(store, 'reload'), { recursive: true });
  const move = (version: number) => rename(join(aside, 'reload', `${version}`), join(store, 'reload', `${version}`));
  await move(1);
  const server = await startServerProcess(store, ['--watch-ms', '100']);
  onEnd(server.stop);
  const client = rawClient(server.port);
  onEnd(client.close);
  const { act } = actPayload('reload');
  const call: Call = () => client.call(paths.act, act);
  await serial(call, warmCallCount);

  const before: number[] = [];
  const during: number[] = [];
  const swapMs: number[] = [];
  let windowCount = warmCallCount;
  for (let version = 2; version <= swapCount + 1; version++) {
    before.push(...(await serial(call, windowCount)));
    const start = performance.now();
    await move(version);
    const window: number[] = [];
    while (fromBinary(ActResponseSchema, await call()).version !== version) {
      window.push(...(await serial(call, callsPerLook)));
    }
    swapMs.push(performance.now() - start);
    window.push(...(await serial(call, aftermathCount)));
    windowCount = window.length;
    during.push(...window);
  }
  const [calm, swapping] = [summarise(before), summarise(during)];
  for (const quantileName of ['p50', 'p99', 'p999'] as const) {
    figures[`reload_${quantileName}_before_ms`] = calm[quantileName];
    figures[`reload_${quantileName}_ms`] = swapping[quantileName];
    figures[`reload_${quantileName}_ratio`] = swapping[quantileName] / calm[quantileName];
  }
  figures.reload_max_ms = quantile(during, 1);
  figures.reload_swap_ms = median(swapMs);
  figures.reload_swap_count = swapCount;
  figures.reload_call_count_before = before.length;
  figures.reload_call_count = during.length;
}
