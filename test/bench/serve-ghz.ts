/**
 * Unary figures with `ghz`, a load generator written in Go: a Node client is the limit before the server is. Messages are given to it
 * with their length before them, because it reads a file so first and would cut a bare message silently.
 */

import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { create, type DescFile, toBinary } from '@bufbuild/protobuf';
import { type FileDescriptorProto, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { file_hyperpolicy_v1_policy_service } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { onOwnCores } from './own-cores.ts';
import { addRatio, addTimes } from './serve-act.ts';
import { type Child, startEchoProcess } from './serve-processes.ts';
import { inTurns, parallelCallCount } from './serve-rounds.ts';
import { figureName, type ServeBench } from './serve-setup.ts';
import { median } from './statistics.ts';

export type GhzLoad = { readonly perSecond: number; readonly times: number[] };

/** @param duration as Go writes it, for example `800ms` */
type LoadOptions = { readonly concurrency: number; readonly duration: string };

export type Ghz = {
  /** Calls Act at a port with `concurrency` calls in flight over one connection. @throws Error where a call fails */
  run(port: number, payload: string, load: LoadOptions): Promise<GhzLoad>;
  /** Writes a request as the file that `run` takes. */
  payload(name: string, request: Buffer): Promise<string>;
  /** The service's descriptors, for programs that build their codec from them. */
  readonly protoset: string;
};

/** Whether `ghz` can be run. */
export function hasGhz(): boolean {
  try {
    execFileSync('ghz', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const serialLoad = { concurrency: 1, duration: '700ms' } as const;
const parallelLoad = { concurrency: parallelCallCount, duration: '1s' } as const;

/** Prepares the files that ghz reads. */
export async function openGhz({ onEnd }: Pick<ServeBench, 'onEnd'>): Promise<Ghz> {
  const directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-ghz-'));
  onEnd(() => rm(directory, { recursive: true, force: true }));
  const protoset = join(directory, 'protoset.binpb');
  const file = [...filesOf(file_hyperpolicy_v1_policy_service)];
  await writeFile(protoset, toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file })));
  return {
    protoset,
    async payload(name, request) {
      const path = join(directory, `${name}.bin`);
      await writeFile(path, lengthPrefixed(request));
      return path;
    },
    async run(port, payload, { concurrency, duration }) {
      const options = {
        protoset,
        call: 'hyperpolicy.v1.PolicyService.Act',
        'binary-file': payload,
        concurrency,
        duration,
        // Calls in flight at the end are waited for: cut ones would count as failures.
        'duration-stop': 'wait',
        format: 'json',
      };
      const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
      const switches = ['--insecure', '--disable-template-functions', '--disable-template-data'];
      const { stdout } = await promisify(execFile)('ghz', [...args, ...switches, `127.0.0.1:${port}`], {
        maxBuffer: 64 * 1024 * 1024,
      });
      return readReport(stdout);
    },
  };
}

/** A file and those it imports, each after its imports. */
function filesOf(file: DescFile, seen = new Set<FileDescriptorProto>()): Set<FileDescriptorProto> {
  for (const dependency of file.dependencies) filesOf(dependency, seen);
  return seen.add(file.proto);
}

/** One message of a file of several: its length as a varint, then its bytes. */
export function lengthPrefixed(message: Buffer): Buffer {
  const prefix: number[] = [];
  let rest = message.length;
  for (; rest >= 0x80; rest >>>= 7) prefix.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([...prefix, rest]), message]);
}

/**
 * Reads what ghz prints as JSON.
 * @throws Error where a call did not succeed: its time would be that of a failure
 */
export function readReport(text: string): GhzLoad {
  const { rps, details, errorDistribution } = JSON.parse(text) as {
    rps: number;
    details: { latency: number; status: string }[] | null;
    errorDistribution: Record<string, number> | null;
  };
  const failed = details?.filter(({ status }) => status !== 'OK').length ?? 0;
  if (details === null || details.length === 0 || failed > 0) {
    throw new Error(
      `ghz: expected every call to succeed, got ${failed} failures of ${details?.length ?? 0}: ${JSON.stringify(errorDistribution)}`,
    );
  }
  return { perSecond: rps, times: details.map(({ latency }) => latency / 1e6) };
}

/** What ghz measures of one server, round by round. */
export class GhzSide {
  readonly serial: number[][] = [];
  readonly parallel: number[][] = [];
  readonly rates: number[] = [];
  readonly #ghz: Ghz;
  readonly server: Child;
  readonly #payload: string;
  #parallelCpuMs = 0;

  constructor(ghz: Ghz, server: Child, payload: string) {
    this.#ghz = ghz;
    this.server = server;
    this.#payload = payload;
  }

  /** A round that does not count. */
  async warmUp(): Promise<void> {
    await this.#ghz.run(this.server.port, this.#payload, serialLoad);
    await this.#ghz.run(this.server.port, this.#payload, parallelLoad);
  }

  runSerial = async (): Promise<void> => {
    this.serial.push((await this.#ghz.run(this.server.port, this.#payload, serialLoad)).times);
  };

  runParallel = async (): Promise<void> => {
    const before = this.server.cpuMs() ?? Number.NaN;
    const { times, perSecond } = await this.#ghz.run(this.server.port, this.#payload, parallelLoad);
    this.#parallelCpuMs += (this.server.cpuMs() ?? Number.NaN) - before;
    this.parallel.push(times);
    this.rates.push(perSecond);
  };

  /** Processor time of the server for a call of the parallel load; NaN where the system does not tell it. */
  get cpuUs(): number {
    return (1000 * this.#parallelCpuMs) / this.parallel.flat().length;
  }

  addTo(figures: ServeBench['figures'], name: string): void {
    addTimes(figures, `${name}_unary_serial`, this.serial);
    addTimes(figures, `${name}_unary_c64`, this.parallel);
    figures[`${name}_unary_c64_rps`] = median(this.rates);
    if (!Number.isNaN(this.cpuUs)) figures[`${name}_unary_c64_cpu_us`] = this.cpuUs;
  }
}

/** Runs every side's serial load by turns, on cores of their own, then every side's parallel load. */
export async function raceGhz(bench: ServeBench, rounds: number, sides: readonly GhzSide[]): Promise<void> {
  for (const side of sides) await side.warmUp();
  const serial = () =>
    inTurns(
      rounds,
      sides.map((side) => side.runSerial),
    );
  // ghz begins on this process's core.
  const { isPinned } = await onOwnCores(
    sides.map(({ server }) => server),
    serial,
  );
  bench.figures.serial_on_own_cores = isPinned ? 'yes' : 'no';
  await inTurns(
    rounds,
    sides.map((side) => side.runParallel),
  );
}

/** Sends ghz's requests to a checking echo: what arrives is what was meant, byte for byte. */
async function checkPayload(ghz: Ghz, payload: string, echo: Awaited<ReturnType<ServeBench['echo']>>): Promise<void> {
  const checked = await startEchoProcess({ ...echo.answers, expected: echo.requests });
  try {
    await ghz.run(checked.port, payload, { concurrency: 2, duration: '100ms' });
  } finally {
    await checked.stop();
  }
}

/** A side for the real server, its payload checked. */
export async function ghzServerSide(bench: ServeBench, ghz: Ghz, model: 'mlp' | 'hyper') {
  const echo = await bench.echo(model);
  const payload = await ghz.payload(model, echo.requests.act);
  await checkPayload(ghz, payload, echo);
  return { echo, payload, ours: new GhzSide(ghz, bench.server, payload) };
}

/** Act and the echo by turns. */
export const ghzUnary = (model: 'mlp' | 'hyper') => async (bench: ServeBench) => {
  const ghz = await openGhz(bench);
  const { echo, payload, ours } = await ghzServerSide(bench, ghz, model);
  const theirs = new GhzSide(ghz, echo.process, payload);
  await raceGhz(bench, bench.rounds, [ours, theirs]);
  const { figures } = bench;
  const name = `ghz_${figureName(model)}`;
  ours.addTo(figures, name);
  theirs.addTo(figures, name.replace('act', 'echo'));
  addRatio(figures, `${name}_unary_serial_p50_ratio`, ours.serial.map(median), theirs.serial.map(median));
  addRatio(figures, `${name}_unary_c64_throughput_ratio`, ours.rates, theirs.rates);
  if (!Number.isNaN(ours.cpuUs)) figures[`${name}_unary_c64_cpu_ratio`] = ours.cpuUs / theirs.cpuUs;
};
