/** What the sections of the serving bench share: a store with packages, the server and the echo in processes of their own, and clients. */

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { ActResponseSchema, ActStreamResponseSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { publishRandomPackage } from '../../trainer/export/random-package.ts';
import type { Figures } from './measure.ts';
import { paths, type RawClient, rawClient } from './serve-client.ts';
import { checkAnswerSizes, checkArrival, typicalAnswer } from './serve-fairness.ts';
import { type Child, type ServerChild, startEchoProcess, startServerProcess } from './serve-processes.ts';
import { type ActPayload, actionSize, actPayload, type ModelName } from './serve-requests.ts';

/** Calls before anything is measured or an answer is looked at. */
const warmCallCount = 2000;
const sampledAnswerCount = 301;

export type ServeBench = {
  readonly rounds: number;
  readonly figures: Figures;
  readonly store: string;
  readonly server: ServerChild;
  readonly client: RawClient;
  /**
   * The yardstick for a policy: its requests, answered with as many bytes as the server answers. Started at first use, when requests
   * and answers have been checked byte for byte.
   */
  echo(model: 'mlp' | 'hyper'): Promise<Echo>;
  /** Where the first version of a model lies. */
  packageDirectory(model: ModelName): Promise<string>;
  /** The bytes of a graph of a model. */
  graph(model: ModelName, file: string): Promise<Uint8Array>;
  /** Something to free at the end, last first. */
  onEnd(stop: () => Promise<void> | void): void;
};

export type Echo = {
  readonly process: Child;
  readonly client: RawClient;
  readonly requests: ActPayload;
  readonly answers: ActPayload;
};

export type SetupOptions = {
  readonly rounds: number;
  /** Published before the server starts. */
  readonly models: readonly ModelName[];
  readonly profileDirectory?: string | undefined;
};

/** @param warmMs from the start of the server's process until everything was warm: what a profile leaves out */
export type Results = { readonly figures: Figures; readonly warmMs: number };

/** Sets up, runs the work, and frees everything. */
export async function withServer(options: SetupOptions, work: (bench: ServeBench) => Promise<void>): Promise<Results> {
  const stops: (() => Promise<void> | void)[] = [];
  const onEnd = (stop: () => Promise<void> | void) => void stops.push(stop);
  const figures: Figures = {};
  try {
    const store = await mkdtemp(join(tmpdir(), 'hyperpolicy-bench-'));
    onEnd(() => rm(store, { recursive: true, force: true }));
    for (const model of options.models) await publish(store, model);
    const startedAtMs = performance.now();
    const server = await startServerProcess(store, [], { profileDirectory: options.profileDirectory });
    onEnd(server.stop);
    let warmMs = performance.now() - startedAtMs;
    const client = rawClient(server.port);
    onEnd(client.close);
    const packageDirectory = async (model: ModelName) => {
      const [version] = await readdir(join(store, model));
      return join(store, model, version!);
    };
    const echoes = new Map<string, Promise<Echo>>();
    await work({
      rounds: options.rounds,
      figures,
      store,
      server,
      client,
      onEnd,
      echo(model) {
        const known = echoes.get(model);
        if (known !== undefined) return known;
        const isFirst = echoes.size === 0;
        const started = startEcho(model, { client, figures, onEnd }).finally(() => {
          if (isFirst) warmMs = performance.now() - startedAtMs;
        });
        echoes.set(model, started);
        return started;
      },
      packageDirectory,
      graph: async (model, file) => readFile(join(await packageDirectory(model), file)),
    });
    return { figures, warmMs };
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

/** Publishes the next version of a model at paper size: networks of 256, trunks of 256, 512 and 1024. */
export const publish = (store: string, model: ModelName) =>
  publishRandomPackage({
    store,
    model,
    policy: model === 'mlp' ? 'plain' : model === 'critic' ? 'none' : 'hyper',
    critic: model === 'critic' || model === 'reload' ? 'hyper' : 'none',
    hiddenSize: 256,
    trunkSizes: [256, 512, 1024],
  });

/** Prefix of the figures of a policy: the hyper policy is what the server is for. */
export const figureName = (model: 'mlp' | 'hyper'): string => (model === 'hyper' ? 'act' : 'act_mlp');

async function startEcho(
  model: 'mlp' | 'hyper',
  { client, figures, onEnd }: Pick<ServeBench, 'client' | 'figures' | 'onEnd'>,
): Promise<Echo> {
  const requests = actPayload(model);
  const answers = await sampleAnswers(client, requests);
  const checked = await startEchoProcess({ ...answers, expected: requests });
  try {
    const checking = rawClient(checked.port);
    await checkArrival(checking, requests, answers);
    checking.close();
  } finally {
    await checked.stop();
  }
  const process = await startEchoProcess(answers);
  onEnd(process.stop);
  const echoClient = rawClient(process.port);
  onEnd(echoClient.close);
  const name = figureName(model);
  figures[`${name}_request_bytes`] = requests.act.length;
  figures[`${name}_answer_bytes`] = answers.act.length;
  return { process, client: echoClient, requests, answers };
}

/** Warms the server up, sees to it that actions are answered, and takes answers of typical length. */
async function sampleAnswers(client: RawClient, requests: ActPayload): Promise<ActPayload> {
  const call = () => client.call(paths.act, requests.act);
  for (let i = 0; i < warmCallCount; i++) await call();
  const sampled = await repeat(sampledAnswerCount, call);
  const stream = client.stream(paths.actStream, requests.actStream);
  await stream.pipeline(warmCallCount, parallelWindow);
  const streamed = await repeat(sampledAnswerCount, stream.call);
  stream.close();
  const answers = { act: typicalAnswer(sampled), actStream: typicalAnswer(streamed) };
  if (fromBinary(ActResponseSchema, answers.act).action?.data.length !== actionSize * 4) {
    throw new Error('Act: expected an action, got an answer without one');
  }
  if (fromBinary(ActStreamResponseSchema, answers.actStream).result.case !== 'response') {
    throw new Error('ActStream: expected an action, got an answer without one');
  }
  return answers;
}

const parallelWindow = 64;

async function repeat(count: number, call: () => Promise<Buffer>): Promise<Buffer[]> {
  const answers: Buffer[] = [];
  for (let i = 0; i < count; i++) answers.push(await call());
  return answers;
}

/** After a measurement: the server still answers as many bytes as the echo. */
export async function checkStillEqual({ client }: ServeBench, { requests, answers }: Echo): Promise<void> {
  const again = await repeat(sampledAnswerCount, () => client.call(paths.act, requests.act));
  checkAnswerSizes('Act', again, answers.act);
}
