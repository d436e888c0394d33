/** QGrad of 256 rows with a paper-size SA-Hyper twin critic: new states, the same again, one state; and the first in this process. */

import { fromBinary } from '@bufbuild/protobuf';
import { serverDefaults } from '../../server/config.ts';
import { createRandom } from '../../src/contract/random.ts';
import { QGradResponseSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { floatTensor, indexTensor, openSession } from '../../src/onnx/session.ts';
import { addRatio, addTimes } from './serve-act.ts';
import { paths } from './serve-client.ts';
import { actionSize, normals, observationSize, qGradRequest } from './serve-requests.ts';
import { inTurns } from './serve-rounds.ts';
import type { ServeBench } from './serve-setup.ts';
import { median } from './statistics.ts';

const batch = 256;
const callsPerRound = 3;

export async function qGrad(bench: ServeBench): Promise<void> {
  const { client, figures, rounds } = bench;
  const random = createRandom(6);
  const { threadCount } = serverDefaults;
  const primary = openSession(await bench.graph('critic', 'critic.primary.onnx'), { threadCount });
  const dynamic = openSession(await bench.graph('critic', 'critic.dynamic.onnx'), { threadCount: 1 });
  bench.onEnd(() => {
    primary.dispose();
    dynamic.dispose();
  });
  const times = {
    qgrad_b256: [] as number[][],
    qgrad_b256_cached: [] as number[][],
    qgrad_one_state_b256: [] as number[][],
    qgrad_b256_in_process: [] as number[][],
  };
  const timed = async (observations: Float32Array) => {
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
  const ours = async () => {
    const round = { unseen: [] as number[], cached: [] as number[], oneState: [] as number[] };
    for (let i = 0; i < callsPerRound; i++) {
      const states = normals(random, batch * observationSize);
      round.unseen.push(await timed(states));
      round.cached.push(await timed(states));
      round.oneState.push(await timed(states.subarray(0, observationSize)));
    }
    times.qgrad_b256.push(round.unseen);
    times.qgrad_b256_cached.push(round.cached);
    times.qgrad_one_state_b256.push(round.oneState);
  };
  const inProcess = async () => {
    times.qgrad_b256_in_process.push(Array.from({ length: callsPerRound }, timedInProcess));
  };
  await ours();
  await inProcess();
  for (const list of Object.values(times)) list.length = 0;
  await inTurns(rounds, [ours, inProcess]);
  for (const [name, list] of Object.entries(times)) {
    addTimes(figures, name, list);
    figures[`${name}_ms`] = figures[`${name}_p50_ms`]!;
  }
  addRatio(figures, 'qgrad_b256_ratio', times.qgrad_b256.map(median), times.qgrad_b256_in_process.map(median));
  figures.qgrad_call_count = rounds * callsPerRound;
}
