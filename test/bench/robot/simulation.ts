/**
 * A simulated robot at a real server, in real time: the controller at 100 Hz, physics at 500 Hz, and faults in between. Where it falls it is
 * set up again, as somebody would do: it stands for a second before it is.
 */

import { cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Controller, type Cycle, type CycleSummary, createController } from '../../../clients/robot/index.ts';
import { createPolicyClient } from '../../../clients/typescript/index.ts';
import { createRandom } from '../../../src/contract/random.ts';
import type { Env } from '../../../src/envs/env.ts';
import { type ServerChild, startServerProcess } from '../serve-processes.ts';
import {
  ageMsMax,
  controlPeriodMs,
  createRobot,
  observationPeriodMs,
  physicsStepMs,
  rampMs,
  stands,
} from './hopper.ts';
import { createNetwork, type Network } from './network.ts';
import { fallsAlone } from './policy-alone.ts';

const model = 'hopper';
const policy = fileURLToPath(new URL('./policy/', import.meta.url).href.replace('/dist/', '/'));
const lyingMs = 1000;

/** Something that is wrong for a while; parts of the whole run. */
export type Fault = { readonly name: string; readonly from: number; readonly to: number };

/** A restart ends when the server is there again. */
export const faults: readonly Fault[] = [
  { name: 'delay 10 ms each way', from: 5 / 60, to: 12 / 60 },
  { name: 'loss of 2 %', from: 16 / 60, to: 23 / 60 },
  { name: 'restart', from: 27 / 60, to: 27.2 / 60 },
  { name: 'freeze', from: 38 / 60, to: 40 / 60 },
  { name: 'swap', from: 50 / 60, to: 50.2 / 60 },
];

/** Where the robot was in a cycle. */
export type Pose = { readonly atMs: number; readonly height: number; readonly x: number; readonly stands: boolean };

export type SimulationResult = {
  readonly summary: CycleSummary;
  readonly cycles: readonly Cycle[];
  /** One a cycle. */
  readonly poses: readonly Pose[];
  readonly beginMs: number;
  readonly fallCount: number;
  /** In as much time, but simulated, without any fault or delay: what is the policy's own. */
  readonly policyFallCount: number;
  /** Metres, over all that it was set up again. */
  readonly distance: number;
};

export async function simulate(seconds: number): Promise<SimulationResult> {
  const stops: (() => unknown)[] = [];
  try {
    const store = await mkdtemp(join(tmpdir(), 'hyperpolicy-robot-'));
    stops.push(() => rm(store, { recursive: true, force: true }));
    await cp(policy, store, { recursive: true });
    let server = await startServerProcess(store, ['--watch-ms', '200']);
    stops.push(() => server.stop());
    const network = await createNetwork(server.port, createRandom(1));
    stops.push(network.stop);
    const client = createPolicyClient({ address: `127.0.0.1:${network.port}` });
    stops.push(client.close);
    const { safeAction } = await client.getModel({ model });
    const stream = client.actStream({ model, clientId: 'hopper', resume: true, newestWins: true, follow: true });
    const body = createBody(await createRobot());
    stops.push(body.dispose);
    const controller: Controller = createController({
      stream,
      safeAction,
      periodMs: controlPeriodMs,
      ageMsMax,
      rampMs,
      interpolationMs: physicsStepMs,
      observe: () => body.observe(controller),
      apply: () => {},
    });
    // A connection, and the server's first answer, before the clock runs.
    await stream.act({ observation: body.observe(undefined) }, { timeoutMs: 30_000 });
    const policyFallCount = await fallsAlone(stream, seconds);
    const restart = async () => {
      const { port } = server;
      await server.stop();
      server = await startServerProcess(store, ['--watch-ms', '200', '--port', String(port)]);
    };
    const beginMs = performance.now();
    body.begin(beginMs);
    const done = plan(seconds, { network, store, restart, server: () => server });
    const summary = await controller.run({ signal: AbortSignal.timeout(1000 * seconds) });
    await done;
    await stream.close();
    return { summary, cycles: controller.cycles(), beginMs, policyFallCount, ...body.told() };
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

type Faulty = {
  readonly network: Network;
  readonly store: string;
  restart(): Promise<void>;
  server(): ServerChild;
};

/** Does what is wrong, when it is. */
async function plan(seconds: number, { network, store, restart, server }: Faulty): Promise<void> {
  const ways: Readonly<Record<string, readonly [() => unknown, () => unknown]>> = {
    'delay 10 ms each way': [
      () => Object.assign(network, { delayMs: 10 }),
      () => Object.assign(network, { delayMs: 0 }),
    ],
    'loss of 2 %': [() => Object.assign(network, { lossRate: 0.02 }), () => Object.assign(network, { lossRate: 0 })],
    restart: [restart, () => {}],
    freeze: [() => process.kill(server().pid, 'SIGSTOP'), () => process.kill(server().pid, 'SIGCONT')],
    swap: [() => publishAgain(store), () => {}],
  };
  const beginMs = performance.now();
  const until = (part: number) =>
    new Promise((resolve) => setTimeout(resolve, 1000 * seconds * part - (performance.now() - beginMs)));
  for (const { name, from, to } of faults) {
    const [begin, end] = ways[name]!;
    await until(from);
    await begin();
    await until(to);
    await end();
  }
}

/** The same network as version 2: what is looked at is that nothing stands still meanwhile. */
async function publishAgain(store: string): Promise<void> {
  const aside = join(store, model, '.2');
  await cp(join(store, model, '1'), aside, { recursive: true });
  const manifest = JSON.parse(await readFile(join(aside, 'manifest.json'), 'utf8')) as object;
  await writeFile(join(aside, 'manifest.json'), JSON.stringify({ ...manifest, version: 2 }));
  await rename(aside, join(store, model, '2'));
}

/** The robot's body: it moves by itself as time goes on, under the commands of each moment. */
function createBody(env: Env) {
  let simulatedMs = 0;
  let fallenAtMs: number | undefined;
  let fallCount = 0;
  let seed = 0;
  let x = 0;
  let distance = 0;
  let observation = Float32Array.from(env.reset(seed).observation);
  /** What the policy sees, and since when. */
  let seen = observation;
  let seenAtMs = Number.NEGATIVE_INFINITY;
  const poses: Pose[] = [];

  function step(command: Float32Array): void {
    const result = env.step(command);
    observation = Float32Array.from(result.observation);
    const before = x;
    x = result.info.xPosition!;
    if (fallenAtMs === undefined) distance += x - before;
    const upright = stands(observation[0]!, observation[1]!);
    if (fallenAtMs === undefined && !upright) {
      fallenAtMs = simulatedMs;
      fallCount++;
    }
    if (result.diverged || (fallenAtMs !== undefined && simulatedMs - fallenAtMs >= lyingMs)) setUp();
  }

  function setUp(): void {
    fallenAtMs = undefined;
    const reset = env.reset(++seed);
    observation = Float32Array.from(reset.observation);
    x = reset.info.xPosition!;
  }

  return {
    begin(atMs: number) {
      simulatedMs = atMs;
    },
    /** Where it is now. */
    observe(controller: Controller | undefined): Float32Array {
      const nowMs = performance.now();
      while (controller !== undefined && simulatedMs + physicsStepMs <= nowMs) {
        simulatedMs += physicsStepMs;
        step(controller.command(simulatedMs));
      }
      if (controller !== undefined) {
        poses.push({ atMs: nowMs, height: observation[0]!, x: distance, stands: fallenAtMs === undefined });
      }
      if (simulatedMs - seenAtMs >= observationPeriodMs) {
        seen = observation;
        seenAtMs = simulatedMs;
      }
      return seen;
    },
    told: () => ({ poses, fallCount, distance }),
    dispose: () => env.dispose(),
  };
}
