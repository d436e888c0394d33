/** The thread of a user's environment file: follows `protocol.ts`, and records which user code is running. */

import { setImmediate as turn } from 'node:timers/promises';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { Env } from '../../../src/envs/env.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { leaveTrail } from '../../../src/envs/user-code-trail.ts';
import { controlSlot, workItems } from '../../machine/claims.ts';
import { describeFailure } from '../../machine/thread-failure.ts';
import { createWaiter } from '../../machine/wait.ts';
import { openRows, type Rows, stateSizeOf } from '../../rollout/rows.ts';
import { type SharedBatch, shareBatch } from '../../rollout/shared-batch.ts';
import { evaluateOn } from '../evaluator.ts';
import { type OpenedPolicy, openPolicy } from '../portable-policy.ts';
import type { EnvironmentFacts } from './environment.ts';
import {
  type EnvMessage,
  type EnvQuestions,
  type EnvThreadData,
  jobs,
  type Question,
  slot,
  trailOf,
} from './protocol.ts';

// What user code prints is not the command's result. Not by the thread's `stdout` in the main thread, which a reader would keep alive.
process.stdout.write = process.stderr.write.bind(process.stderr);

const { place, control: memory, port } = workerData as EnvThreadData;
const control = new Int32Array(memory);

/** How long the thread stays awake for the next order, and how long it works without a turn of its event loop. */
const [spinMs, turnIntervalMs] = [0.2, 50];

type OpenBatch = { readonly shared: SharedBatch; readonly rows: Rows; readonly env: Env; readonly firstRow: number };

/** All that the thread holds; its questions create it. */
const environments = new Set<Env>();
const batches = new Map<number, OpenBatch>();
let policy: OpenedPolicy | undefined;
let evaluated: Env | undefined;

/** The first environment gives the facts. The first batch or evaluation then takes it. */
let first: Env | undefined;
let isFirstTaken = false;

async function createOne(): Promise<Env> {
  const env = await createEnvironment(place);
  environments.add(env);
  return env;
}

async function firstOne(): Promise<Env> {
  first ??= await createOne();
  return first;
}

/** An environment of its own. */
function takeOne(): Promise<Env> {
  if (isFirstTaken) return createOne();
  isFirstTaken = true;
  return firstOne();
}

function disposeOne(env: Env): void {
  environments.delete(env);
  env.dispose();
}

const isCut = () => Atomics.load(control, slot.isCut) === 1;
const cutMark = new Error('cut');
const signal = {
  throwIfAborted() {
    if (isCut()) throw cutMark;
  },
};

type Answers = {
  readonly [Kind in keyof EnvQuestions]: (
    body: Parameters<EnvQuestions[Kind]>[0],
  ) => ReturnType<EnvQuestions[Kind]> | Promise<ReturnType<EnvQuestions[Kind]>>;
};

const answers: Answers = {
  facts: async () => factsOf(await firstOne()),
  async stateSize() {
    const env = await createOne();
    const size = stateSizeOf(env);
    disposeOne(env);
    return size;
  },
  sampleTasks: async (options) => (await firstOne()).tasks!.sample(options),
  async openRows({ batch, sizes, memory: shared, firstRow, ...rows }) {
    const opened = shareBatch(sizes, shared);
    const env = await takeOne();
    batches.set(batch, { shared: opened, rows: await openRows(opened, { env, ...rows }), env, firstRow });
    return null;
  },
  saveRows(batch) {
    const { rows, shared } = batches.get(batch)!;
    return Array.from({ length: shared.sizes.environmentCount }, (_, row) => rows.save(row));
  },
  restoreRows({ batch, states }) {
    const { rows } = batches.get(batch)!;
    states.forEach((state, row) => {
      rows.restore(row, state);
    });
    return null;
  },
  closeRows(batch) {
    const { env } = batches.get(batch)!;
    batches.delete(batch);
    disposeOne(env);
    return null;
  },
  openPolicy(model) {
    policy = openPolicy(model);
    return null;
  },
  async evaluate({ order, parameters }) {
    evaluated ??= await takeOne();
    try {
      return await evaluateOn({ env: evaluated, act: policy!.actWith(parameters), signal }, order);
    } catch (error) {
      if (error === cutMark) return null;
      throw error;
    }
  },
  dispose() {
    const failures: unknown[] = [];
    for (const env of environments) {
      try {
        disposeOne(env);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
    return null;
  },
};

/** Plain data: the file's own objects may have more. */
function factsOf({ name, specs, episodeStepCountMax, tasks }: Env): EnvironmentFacts {
  const plain = JSON.parse(JSON.stringify(specs)) as typeof specs;
  if (tasks === null) return { name, specs: plain, episodeStepCountMax, tasks };
  const { ranges, counts } = tasks;
  const rangesOf = (split: 'train' | 'test') => ranges[split].map(([low, high]) => [low, high] as const);
  return {
    ...{ name, specs: plain, episodeStepCountMax },
    tasks: {
      spec: plain.context!,
      ranges: { train: rangesOf('train'), test: rangesOf('test') },
      counts: { train: counts.train, test: counts.test },
    },
  };
}

const send = (message: EnvMessage) => port.postMessage(message);

async function answer({ kind, body }: Question): Promise<EnvMessage> {
  try {
    return { answer: await answers[kind](body as never) };
  } catch (error) {
    return { refusal: describeFailure(error) };
  }
}

/** Steps or begins rows. After a cut, rows that have not begun are left out: the result is not used. */
function work(job: number): void {
  const { shared, rows, firstRow } = batches.get(control[slot.batch]!)!;
  const episode = control[slot.episode]!;
  const number = episode < 0 ? undefined : episode;
  workItems(shared, {
    first: firstRow,
    order: Atomics.load(shared.control, controlSlot.order),
    work(row) {
      if (isCut()) return;
      if (job === jobs.step) rows.step(row);
      else rows.begin(row, number);
    },
    fail: (error) => send({ failed: describeFailure(error) }),
  });
}

/** The event loop is free while there is no order: user code may wait for messages of its own. */
async function serve(): Promise<never> {
  const waiter = createWaiter(spinMs);
  let turnAt = performance.now() + turnIntervalMs;
  for (let order = 0; ; ) {
    order = await waiter.whileInTurns(control, slot.order, order);
    const job = control[slot.job]!;
    if (job === jobs.answer) send(await answer(receiveMessageOnPort(port)!.message as Question));
    else work(job);
    Atomics.store(control, slot.done, order);
    Atomics.notify(control, slot.done);
    if (performance.now() < turnAt) continue;
    await turn();
    turnAt = performance.now() + turnIntervalMs;
  }
}

leaveTrail(trailOf(memory));
// A wait for an order does not keep the thread alive; this does.
parentPort!.on('message', () => {});
await serve();
