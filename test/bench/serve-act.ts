/** Act and ActStream of one row against the echo: latency one by one, and throughput with many under way. */

import type { Figures } from './measure.ts';
import { onOwnCores } from './own-cores.ts';
import { paths, type RawStream } from './serve-client.ts';
import { inTurns, parallel, serial } from './serve-rounds.ts';
import { checkStillEqual, type Echo, figureName, type ServeBench } from './serve-setup.ts';
import { compareRounds, median, quantile, summarise } from './statistics.ts';

type Policy = 'mlp' | 'hyper';

const serialCallCount = 400;
const parallelMs = 400;
const pipelinedCount = 10_000;
const pipelineWindow = 256;

/** What a section measures of each side, round by round, and the processor time of its server over all of them. */
type Rounds = { readonly times: number[][]; readonly rates: number[]; cpuMs: number };
type Sides = { readonly ours: Rounds; readonly echo: Rounds };
type Measured = { readonly times: number[]; readonly rate?: number };
type Runs = Readonly<Record<keyof Sides, () => Promise<Measured>>>;

/** Runs ours and the echo by turns. The first round of each is a warm-up that does not count. */
async function race(bench: ServeBench, echo: Echo, runs: Runs): Promise<Sides> {
  const sides: Sides = { ours: { times: [], rates: [], cpuMs: 0 }, echo: { times: [], rates: [], cpuMs: 0 } };
  const processes = { ours: bench.server, echo: echo.process };
  const side = (name: keyof Sides) => async () => {
    const before = processes[name].cpuMs() ?? Number.NaN;
    const { times, rate } = await runs[name]();
    sides[name].cpuMs += (processes[name].cpuMs() ?? Number.NaN) - before;
    sides[name].times.push(times);
    if (rate !== undefined) sides[name].rates.push(rate);
  };
  await runs.ours();
  await runs.echo();
  await inTurns(bench.rounds, [side('ours'), side('echo')]);
  return sides;
}

/** For calls one after the other. */
async function raceOnOwnCores(bench: ServeBench, echo: Echo, runs: Runs): Promise<Sides> {
  const { result, isPinned } = await onOwnCores([bench.server, echo.process], () => race(bench, echo, runs));
  bench.figures.serial_on_own_cores = isPinned ? 'yes' : 'no';
  return result;
}

type Names = { readonly ours: string; readonly echo: string };

const names = (model: Policy, what: string): Names => {
  const ours = figureName(model);
  return { ours: `${ours}_${what}`, echo: `${ours.replace('act', 'echo')}_${what}` };
};

/** `_p50_ms _p99_ms _p999_ms` of both sides over all rounds. */
export function addTimes(figures: Figures, name: string, times: readonly number[][]): void {
  const { p50, p99, p999 } = summarise(times.flat());
  figures[`${name}_p50_ms`] = p50;
  figures[`${name}_p99_ms`] = p99;
  figures[`${name}_p999_ms`] = p999;
}

/** A ratio with the quartiles of its rounds, which tell how far it can be trusted. */
export function addRatio(figures: Figures, name: string, ours: readonly number[], theirs: readonly number[]): void {
  const { ratio, low, high } = compareRounds(ours, theirs);
  figures[name] = ratio;
  figures[`${name}_low`] = low;
  figures[`${name}_high`] = high;
}

/** Quantiles of both sides, and the processor time that a call costs the server: it hardly depends on who else is on the machine. */
function addSides(figures: Figures, name: Names, sides: Sides): void {
  for (const side of ['ours', 'echo'] as const) {
    const { times, cpuMs } = sides[side];
    addTimes(figures, name[side], times);
    if (!Number.isNaN(cpuMs)) figures[`${name[side]}_cpu_us`] = (1000 * cpuMs) / times.flat().length;
  }
  if (!Number.isNaN(sides.ours.cpuMs)) {
    figures[`${name.ours}_cpu_ratio`] =
      (figures[`${name.ours}_cpu_us`] as number) / (figures[`${name.echo}_cpu_us`] as number);
  }
}

function addLatency(figures: Figures, name: Names, sides: Sides): void {
  addSides(figures, name, sides);
  const { ours } = name;
  addRatio(figures, `${ours}_p50_ratio`, sides.ours.times.map(median), sides.echo.times.map(median));
  figures[`${ours}_p99_ratio`] = quantile(sides.ours.times.flat(), 0.99) / quantile(sides.echo.times.flat(), 0.99);
  figures[`${ours}_call_count`] = sides.ours.times.flat().length;
}

export const unarySerial = (model: Policy) => async (bench: ServeBench) => {
  const echo = await bench.echo(model);
  const { act } = echo.requests;
  const sides = await raceOnOwnCores(bench, echo, {
    ours: async () => ({ times: await serial(() => bench.client.call(paths.act, act), serialCallCount) }),
    echo: async () => ({ times: await serial(() => echo.client.call(paths.act, act), serialCallCount) }),
  });
  addLatency(bench.figures, names(model, 'unary_serial'), sides);
  await checkStillEqual(bench, echo);
};

export const unaryParallel = (model: Policy) => async (bench: ServeBench) => {
  const echo = await bench.echo(model);
  const { act } = echo.requests;
  const load = async (client: typeof bench.client) => {
    const { times, perSecond } = await parallel(() => client.call(paths.act, act), { durationMs: parallelMs });
    return { times, rate: perSecond };
  };
  const sides = await race(bench, echo, { ours: () => load(bench.client), echo: () => load(echo.client) });
  const { figures } = bench;
  const name = names(model, 'unary_c64');
  const { ours, echo: theirs } = sides;
  addSides(figures, name, sides);
  figures[`${name.ours}_rps`] = median(ours.rates);
  figures[`${name.echo}_rps`] = median(theirs.rates);
  addRatio(figures, `${name.ours}_throughput_ratio`, ours.rates, theirs.rates);
};

export const streamSerial = (model: Policy) => async (bench: ServeBench) => {
  const echo = await bench.echo(model);
  const streams = openStreams(bench, echo);
  const sides = await raceOnOwnCores(bench, echo, {
    ours: async () => ({ times: await serial(streams.ours.call, serialCallCount) }),
    echo: async () => ({ times: await serial(streams.echo.call, serialCallCount) }),
  });
  streams.close();
  addLatency(bench.figures, names(model, 'stream_serial'), sides);
};

export const streamPipelined = (model: Policy) => async (bench: ServeBench) => {
  const echo = await bench.echo(model);
  const streams = openStreams(bench, echo);
  const send = async (stream: RawStream) => {
    const start = performance.now();
    const times = await stream.pipeline(pipelinedCount, pipelineWindow);
    return { times, rate: (1000 * pipelinedCount) / (performance.now() - start) };
  };
  const sides = await race(bench, echo, { ours: () => send(streams.ours), echo: () => send(streams.echo) });
  streams.close();
  const { figures } = bench;
  const name = names(model, 'stream_pipelined');
  const { ours, echo: theirs } = sides;
  addSides(figures, name, sides);
  figures[`${name.ours}_msgs_per_s`] = median(ours.rates);
  figures[`${name.echo}_msgs_per_s`] = median(theirs.rates);
  addRatio(figures, `${name.ours}_ratio`, ours.rates, theirs.rates);
};

function openStreams(bench: ServeBench, { client, requests }: Echo) {
  const ours = bench.client.stream(paths.actStream, requests.actStream);
  const echo = client.stream(paths.actStream, requests.actStream);
  const close = () => {
    ours.close();
    echo.close();
  };
  return { ours, echo, close };
}
