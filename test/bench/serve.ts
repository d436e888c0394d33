/**
 * The serving bench: the real server and a bare grpc-js echo with the same payload sizes, each in its own process, driven in turns from
 * this one with the same raw client. `act_mlp` is a plain policy 17-256-256-6; `act` a paper-size hyper policy whose context is
 * cached; the critic is a paper-size SA-Hyper twin. How to read the figures: NOTES.md, "The server".
 */

import { report } from './measure.ts';
import type { BenchOptions } from './options.ts';
import { streamPipelined, streamSerial, unaryParallel, unarySerial } from './serve-act.ts';
import { coldRows, newAndKnownContext, thousandContexts } from './serve-contexts.ts';
import { ghzUnary, hasGhz } from './serve-ghz.ts';
import { peers } from './serve-peers.ts';
import { printProfiles } from './serve-profile.ts';
import { qGrad } from './serve-qgrad.ts';
import { reload } from './serve-reload.ts';
import type { ModelName } from './serve-requests.ts';
import { type ServeBench, withServer } from './serve-setup.ts';
import { serveTargets } from './serve-targets.ts';

type Section = {
  readonly name: string;
  readonly models: readonly ModelName[];
  run(bench: ServeBench): Promise<void>;
  /** What is missing to run it. */
  needs?(): string | undefined;
};

/** @param python of the peers, where there are any to be compared with */
const sectionsWith = (python: string | undefined): readonly Section[] => [
  { name: 'act_unary_serial', models: ['hyper'], run: unarySerial('hyper') },
  { name: 'act_unary_c64', models: ['hyper'], run: unaryParallel('hyper') },
  { name: 'act_stream_serial', models: ['hyper'], run: streamSerial('hyper') },
  { name: 'act_stream_pipelined', models: ['hyper'], run: streamPipelined('hyper') },
  { name: 'act_mlp_unary_serial', models: ['mlp'], run: unarySerial('mlp') },
  { name: 'act_mlp_unary_c64', models: ['mlp'], run: unaryParallel('mlp') },
  { name: 'act_mlp_stream_serial', models: ['mlp'], run: streamSerial('mlp') },
  { name: 'act_mlp_stream_pipelined', models: ['mlp'], run: streamPipelined('mlp') },
  { name: 'act_cold_context', models: ['hyper'], run: newAndKnownContext },
  { name: 'act_contexts_1000_zipf', models: ['hyper'], run: thousandContexts },
  { name: 'act_cold_rows', models: ['hyper'], run: coldRows },
  { name: 'qgrad', models: ['critic'], run: qGrad },
  { name: 'reload', models: [], run: reload },
  { name: 'ghz_hyper', models: ['hyper'], run: ghzUnary('hyper'), needs: ghzMissing },
  { name: 'ghz_mlp', models: ['mlp'], run: ghzUnary('mlp'), needs: ghzMissing },
  { name: 'peers_hyper', models: ['hyper'], run: peers('hyper', python ?? ''), needs: () => peersMissing(python) },
  { name: 'peers_mlp', models: ['mlp'], run: peers('mlp', python ?? ''), needs: () => peersMissing(python) },
];

function ghzMissing(): string | undefined {
  return hasGhz() ? undefined : 'no ghz on the PATH (go install github.com/bojand/ghz/cmd/ghz@v0.120.0)';
}

const peersMissing = (python: string | undefined): string | undefined =>
  python === undefined ? 'no --peers PYTHON' : ghzMissing();

/** Runs the sections whose name holds one of the words of `only`, and prints their figures. */
export async function run({ json, only, rounds = 15, peers: python, profile }: BenchOptions): Promise<void> {
  const sections = sectionsWith(python);
  const words = only?.split(',') ?? [''];
  const named = sections.filter(({ name }) => words.some((word) => name.includes(word)));
  if (named.length === 0) {
    throw new Error(`--only: expected a part of ${sections.map(({ name }) => name).join(', ')}, got "${only}"`);
  }
  const chosen = named.filter(({ name, needs }) => {
    const missing = needs?.();
    if (missing !== undefined) console.error(`skipped: ${name}: ${missing}`);
    return missing === undefined;
  });
  const models = [...new Set(chosen.flatMap((section) => section.models))];
  const { figures, warmMs } = await withServer({ rounds, models, profileDirectory: profile }, async (bench) => {
    for (const { name, run: measure } of chosen) {
      console.error(name);
      await measure(bench);
    }
  });
  report({ rounds, ...figures }, json, serveTargets);
  if (profile !== undefined) await printProfiles(profile, warmMs);
}
