/**
 * Servers as one would write them in Python with the same ONNX files, driven by the same calls of ghz in the same rounds. They have no
 * cache: a hyper policy's weights are generated anew for each of their runs, and are known to ours.
 */

import { fromBinary } from '@bufbuild/protobuf';
import { ActResponseSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Figures } from './measure.ts';
import { paths, type RawClient, rawClient } from './serve-client.ts';
import { GhzSide, ghzServerSide, openGhz, raceGhz } from './serve-ghz.ts';
import { startPythonProcess } from './serve-processes.ts';
import type { ServeBench } from './serve-setup.ts';
import { median, quantile } from './statistics.ts';

const kinds = ['grpcio', 'aio', 'aio_batcher'] as const;

/** At most so many rounds: each starts a process for each side. */
const roundCountMax = 3;
/** The peers compute with another release of the runtime. */
const actionTolerance = 1e-4;

/** @param python an interpreter with grpcio, protobuf, numpy and onnxruntime */
export const peers = (model: 'mlp' | 'hyper', python: string) => async (bench: ServeBench) => {
  const ghz = await openGhz(bench);
  const { echo, payload, ours } = await ghzServerSide(bench, ghz, model);
  const expected = await actionOf(bench.client, echo.requests.act);
  const sides: Record<string, GhzSide> = {};
  for (const kind of kinds) {
    const directory = await bench.packageDirectory(model);
    const peer = await startPythonProcess(python, './serve-peers.py', [kind, ghz.protoset, `--${model}`, directory]);
    bench.onEnd(peer.stop);
    const client = rawClient(peer.port);
    checkAction(kind, await actionOf(client, echo.requests.act), expected);
    client.close();
    sides[kind] = new GhzSide(ghz, peer, payload);
  }
  await raceGhz(bench, Math.min(bench.rounds, roundCountMax), [ours, ...Object.values(sides)]);
  addPeers(bench.figures, { model, ours, sides });
};

async function actionOf(client: RawClient, request: Buffer): Promise<number[]> {
  const { data } = fromBinary(ActResponseSchema, await client.call(paths.act, request)).action!;
  // A copy: the bytes lie within the message, and not at a multiple of four.
  return [...new Float32Array(Uint8Array.from(data).buffer)];
}

/** A peer that does less than ours is no peer. */
function checkAction(kind: string, actual: readonly number[], expected: readonly number[]): void {
  if (
    actual.length === expected.length &&
    actual.every((value, i) => Math.abs(value - expected[i]!) < actionTolerance)
  ) {
    return;
  }
  throw new Error(`peer ${kind}: expected the action ${expected.join(' ')}, got ${actual.join(' ')}`);
}

type Result = { readonly p50: number; readonly rate: number };

function addPeers(
  figures: Figures,
  { model, ours, sides }: { model: string; ours: GhzSide; sides: Readonly<Record<string, GhzSide>> },
): void {
  const add = (name: string, side: GhzSide): Result => {
    const [p50, p99] = [0.5, 0.99].map((fraction) => quantile(side.serial.flat(), fraction)) as [number, number];
    const rate = median(side.rates);
    figures[`${name}_${model}_p50_ms`] = p50;
    figures[`${name}_${model}_p99_ms`] = p99;
    figures[`${name}_${model}_c64_rps`] = rate;
    return { p50, rate };
  };
  const own = add('peers_ours', ours);
  const others = Object.entries(sides).map(([kind, side]) => add(`peer_${kind}`, side));
  figures[`peers_${model}_latency_ratio`] = Math.min(...others.map(({ p50 }) => p50)) / own.p50;
  figures[`peers_${model}_throughput_ratio`] = own.rate / Math.max(...others.map(({ rate }) => rate));
}
