/**
 * QGrad of 256 rows with a paper-size SA-Hyper twin critic: new states, the same when they are kept, one state; new states with each setting
 * of `--new-rows`, and in this process.
 */

import { fromBinary } from '@bufbuild/protobuf';
import { serverDefaults } from '../../server/config.ts';
import { createRandom } from '../../src/contract/random.ts';
import { QGradResponseSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { floatTensor, indexTensor, openSession } from '../../src/onnx/session.ts';
import { addRatio, addTimes } from './serve-act.ts';
import { paths, type RawClient, rawClient } from './serve-client.ts';
import { startServerProcess } from './serve-processes.ts';
import { actionSize, normals, observationSize, qGradRequest } from './serve-requests.ts';
import { inTurns } from './serve-rounds.ts';
import type { ServeBench } from './serve-setup.ts';
import { median } from './statistics.ts';

const batch = 256;
const callsPerRound = 3;

export async function qGrad(bench: ServeBench): Promise<void> {
  const { figures, rounds, store } = bench;
  const random = createRandom(6);
  const clientOf = async (way: 'fused' | 'kept') => {
    const server = await startServerProcess(store, ['--new-rows', way]);
    bench.onEnd(server.stop);
    const client = rawClient(server.port);
    bench.onEnd(client.close);
    return client;
  };
  const fused = await clientOf('fused');
  const kept = await clientOf('kept');
  const { threadCount } = serverDefaults;
  const primary = openSession(await bench.graph('critic', 'critic.primary.onnx'), { threadCount });
  const dynamic = openSession(await bench.graph('critic', 'critic.dynamic.onnx'), { threadCount: 1 });
  bench.onEnd(() => {
    primary.dispose();
    dynamic.dispose();
  });
  const times = {
    qgrad_b256: [] as number[][],
    qgrad_b256_fused: [] as number[][],
    qgrad_b256_kept: [] as number[][],
    qgrad_b256_cached: [] as number[][],
    qgrad_one_state_b256: [] as number[][],
    qgrad_b256_in_process: [] as number[][],
  };
  const timed = async (client: RawClient, observations: Float32Array) => {
    const request = qGradRequest(observations, normals(random, batch * actionSize));
    const start = performance.now();
    const answer = await client.call(paths.qGrad, request);
    const elapsed = performance.now() - start;
    if (fromBinary(QGradResponseSchema, answer).dqDa?.data.length !== batch * actionSize * 4) {
      throw new Error('QGrad: expected a gradient per row');
    }
    return elapsed;
  };
  const index = indexTensor(Int32Array.from({ length: batch }, (_, row) => row));
  const timedInProcess = (): number => {
    const observation = floatTensor(normals(random, batch * observationSize), [batch, observationSize]);
    const action = floatTensor(normals(random, batch * actionSize), [batch, actionSize]);
    const start = performance.now();
    dynamic.run({ ...primary.run({ observation }), action, index });
    return performance.now() - start;
  };
  const states = () => normals(random, batch * observationSize);
  const unseen = (client: RawClient, times: number[][]) => async () => {
    const round: number[] = [];
    for (let i = 0; i < callsPerRound; i++) round.push(await timed(client, states()));
    times.push(round);
  };
  const asked = unseen(bench.client, times.qgrad_b256);
  const askedFused = unseen(fused, times.qgrad_b256_fused);
  const askedKept = unseen(kept, times.qgrad_b256_kept);
  const known = async () => {
    const round = { cached: [] as number[], oneState: [] as number[] };
    for (let i = 0; i < callsPerRound; i++) {
      const again = states();
      await timed(kept, again);
      round.cached.push(await timed(kept, again));
      round.oneState.push(await timed(kept, again.subarray(0, observationSize)));
    }
    times.qgrad_b256_cached.push(round.cached);
    times.qgrad_one_state_b256.push(round.oneState);
  };
  const inProcess = async () => {
    times.qgrad_b256_in_process.push(Array.from({ length: callsPerRound }, timedInProcess));
  };
  const sides = [asked, askedFused, askedKept, known, inProcess];
  for (const side of sides) await side();
  for (const list of Object.values(times)) list.length = 0;
  await inTurns(rounds, sides);
  for (const [name, list] of Object.entries(times)) {
    addTimes(figures, name, list);
    figures[`${name}_ms`] = figures[`${name}_p50_ms`]!;
  }
  const inProcessTimes = times.qgrad_b256_in_process.map(median);
  for (const name of ['qgrad_b256', 'qgrad_b256_fused', 'qgrad_b256_kept'] as const) {
    addRatio(figures, `${name}_ratio`, times[name].map(median), inProcessTimes);
  }
  figures.qgrad_call_count = rounds * callsPerRound;
}
