/**
 * The clients' bench: Act by a client against the real server, and by the bare gRPC library of its language against the same server and
 * against a bare echo in its language (grpc-js, grpcio with threads, grpc.aio), by turns. Python is also compared with the grpc-js echo:
 * the real server is one of grpc-js. Ratios are over rounds; how servers and payloads are made alike is in NOTES.md.
 */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createPolicyClient } from '../../clients/typescript/index.ts';
import { pythonLoops, typescriptLoops } from './clients-loop.ts';
import { type Figures, report, type Target } from './measure.ts';
import type { BenchOptions } from './options.ts';
import { onOwnCores } from './own-cores.ts';
import { paths } from './serve-client.ts';
import { type Child, startPythonProcess } from './serve-processes.ts';
import { inTurns, serial } from './serve-rounds.ts';
import { type Echo, type ServeBench, withServer } from './serve-setup.ts';
import { compareRounds, median } from './statistics.ts';

const kinds = {
  typescript: ['unary', 'stream'],
  python: ['unary', 'stream', 'asyncio_unary', 'asyncio_stream'],
} as const;
type Language = keyof typeof kinds;

const targets: Readonly<Record<string, Target>> = Object.fromEntries(
  Object.entries(kinds).flatMap(([language, names]) =>
    names.map((kind) => [`${language}_${kind}_ratio`, { bound: 'most', value: 1.25 }] as const),
  ),
);
const callCount = 200;
/** Until the engine has compiled what is measured. */
const warmCallCount = 3000;
const observationSize = 17;

/** Of one side, by round, microseconds a call: the median by the clock, and the processor time of the client's process. */
type Side = { readonly p50: number[]; readonly cpu: number[] };
/** By kind; `_bare` is the library against the server, `_echo` against the echo of its language, `_node_echo` against that of grpc-js. */
type Sides = Readonly<Record<string, Side>>;

/** Python is named with --reference: an interpreter with the client's packages. Without one only TypeScript is measured. */
export async function run({ json, reference, rounds = 15, seconds = 10 }: BenchOptions): Promise<void> {
  const { figures } = await withServer({ rounds, models: ['mlp'] }, async (bench) => {
    const echo = await bench.echo('mlp');
    const measure = async (language: Language, side: () => Promise<Sides>, echoes: readonly Child[] = []) => {
      const { result, isPinned } = await onOwnCores([bench.server, echo.process, ...echoes], side);
      bench.figures.clients_on_own_cores = isPinned ? 'yes' : 'no';
      Object.assign(bench.figures, figuresOf(language, result));
    };
    await measure('typescript', () => typescriptRounds(bench, echo));
    const loop = { address: `127.0.0.1:${bench.server.port}`, model: 'mlp', observationSize, seconds };
    const loops = async (of: () => Promise<Figures>) => {
      const { result } = await onOwnCores([bench.server, echo.process], of);
      Object.assign(bench.figures, result);
    };
    await loops(() => typescriptLoops(loop));
    if (reference !== undefined) {
      const own = await startPythonEchoes(bench, echo, reference);
      await measure('python', () => pythonRounds(bench, echo, own, reference), Object.values(own));
      await loops(() => pythonLoops(loop, reference, sourceFile('./clients-loop.py'), pythonEnvironment));
    } else console.error('skipped: python: no --reference PYTHON with grpcio, protobuf and numpy');
  });
  report({ rounds, seconds, ...figures }, json, targets);
}

type PythonEchoes = Readonly<Record<'threads' | 'asyncio', Child>>;

async function startPythonEchoes({ onEnd }: ServeBench, { answers }: Echo, python: string): Promise<PythonEchoes> {
  const start = async (kind: keyof PythonEchoes) => {
    const given = { kind, act: answers.act.toString('hex'), actStream: answers.actStream.toString('hex') };
    const child = await startPythonProcess(python, './clients-echo.py', [JSON.stringify(given)]);
    onEnd(child.stop);
    return child;
  };
  return { threads: await start('threads'), asyncio: await start('asyncio') };
}

async function typescriptRounds(bench: ServeBench, echo: Echo): Promise<Sides> {
  const { act, actStream } = echo.requests;
  const client = createPolicyClient({ address: `127.0.0.1:${bench.server.port}` });
  const stream = client.actStream({ model: 'mlp' });
  const streams = [bench.client, echo.client].map((bare) => bare.stream(paths.actStream, actStream));
  const observation = Float32Array.from({ length: observationSize }, (_, i) => i / observationSize);
  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    unary: () => client.act({ model: 'mlp', observation }),
    unary_bare: () => bench.client.call(paths.act, act),
    unary_echo: () => echo.client.call(paths.act, act),
    stream: () => stream.act({ observation }),
    stream_bare: streams[0]!.call,
    stream_echo: streams[1]!.call,
  };
  const found = Object.fromEntries(Object.keys(calls).map((name): [string, Side] => [name, { p50: [], cpu: [] }]));
  const turns = Object.entries(calls).map(([name, call]) => async () => {
    const before = process.cpuUsage();
    const times = await serial(call, callCount);
    const { user, system } = process.cpuUsage(before);
    found[name]!.p50.push(1000 * median(times));
    found[name]!.cpu.push((user + system) / callCount);
  });
  for (const call of Object.values(calls)) await serial(call, warmCallCount);
  await inTurns(bench.rounds, turns);
  await stream.close();
  for (const bare of streams) bare.close();
  client.close();
  return found;
}

/** @param own echoes in Python */
async function pythonRounds(bench: ServeBench, echo: Echo, own: PythonEchoes, python: string): Promise<Sides> {
  const address = ({ port }: { readonly port: number }) => `127.0.0.1:${port}`;
  const calls = {
    server: address(bench.server),
    echo: address(own.threads),
    asyncioEcho: address(own.asyncio),
    nodeEcho: address(echo.process),
    act: echo.requests.act.toString('hex'),
    actStream: echo.requests.actStream.toString('hex'),
    count: callCount,
    rounds: bench.rounds,
  };
  const args = [sourceFile('./clients-python.py'), JSON.stringify(calls)];
  const { stdout } = await promisify(execFile)(python, args, { env: pythonEnvironment });
  return JSON.parse(stdout) as Sides;
}

/** From the compiled bench and from the source the checkout is equally far, but for `dist`. */
const sourceFile = (path: string): string => fileURLToPath(new URL(path, import.meta.url).href.replace('/dist/', '/'));

const pythonEnvironment = {
  ...process.env,
  PYTHONPATH: sourceFile('../../clients/python'),
  PYTHONDONTWRITEBYTECODE: '1',
};

function figuresOf(language: Language, found: Sides): Figures {
  const figures: Figures = {};
  for (const kind of kinds[language]) {
    const name = `${language}_${kind}`;
    const [ours, bare, echo] = [found[kind]!, found[`${kind}_bare`]!, found[`${kind}_echo`]!];
    const { ratio, low, high } = compareRounds(ours.p50, echo.p50);
    figures[`${name}_p50_us`] = median(ours.p50);
    figures[`${name}_bare_p50_us`] = median(bare.p50);
    figures[`${name}_echo_p50_us`] = median(echo.p50);
    figures[`${name}_ratio`] = ratio;
    figures[`${name}_ratio_low`] = low;
    figures[`${name}_ratio_high`] = high;
    figures[`${name}_bare_ratio`] = compareRounds(ours.p50, bare.p50).ratio;
    const node = found[`${kind}_node_echo`];
    if (node !== undefined) {
      figures[`${name}_node_echo_p50_us`] = median(node.p50);
      figures[`${name}_node_echo_ratio`] = compareRounds(ours.p50, node.p50).ratio;
    }
    figures[`${name}_cpu_us`] = median(ours.cpu);
    figures[`${name}_bare_cpu_us`] = median(bare.cpu);
  }
  return figures;
}
