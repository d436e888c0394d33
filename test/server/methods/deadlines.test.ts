import { createHash } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { createPolicyClient } from '../../../clients/typescript/client.ts';
import { createCall } from '../../../server/call/rpc.ts';
import { encodeTensor } from '../../../server/call/tensors.ts';
import { answerByDue, dueOf } from '../../../server/methods/due-time.ts';
import { LastActions } from '../../../server/methods/fallback.ts';
import { createRandom } from '../../../src/contract/random.ts';
import { ActRequestSchema, Fallback } from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { rawCaller } from '../../compliance/raw-call.ts';
import { changeGraph, withSlowRuns } from '../../endless-graph.ts';
import { metricLines, startTestServer, temporaryStore } from '../fixtures.ts';

/** A primary that takes tens of milliseconds for 64 contexts. */
const slow = {
  model: 'slow',
  policy: 'hyper',
  critic: 'hyper',
  observationSize: 3,
  actionSize: 2,
  contextSize: 2,
  hiddenSize: 64,
  trunkSizes: [512, 1024],
} as const;

let store: string;
beforeAll(async () => {
  store = await temporaryStore([slow], afterAll);
});

const random = createRandom(1);
const rows = (rowCount: number, size: number) =>
  Array.from({ length: rowCount }, () => Array.from({ length: size }, () => random.normal()));
/** Contexts that no request had before. */
const unseen = (rowCount = 64) => ({ model: 'slow', observation: rows(rowCount, 3), context: rows(rowCount, 2) });

describe('answers in time', () => {
  test('safe: when the budget is over the safe action comes in band, and the weights are kept', async () => {
    const server = await startTestServer([], { store });
    const request = unseen();
    const late = await server.client.act({ ...request, budgetUs: 1000, fallback: 'safe' });
    expect(late.fallback).toEqual({ kind: 'safe', reason: 'budget', ageMs: 0 });
    expect(late.action).toEqual({ shape: [64, 2], values: new Float32Array(128) });
    const full = await server.client.act(request);
    expect(full.fallback).toBeUndefined();
    const warm = await server.client.act({ ...request, budgetUs: 4_000_000, fallback: 'safe' });
    expect([warm.fallback, warm.timing.primaryUs]).toEqual([undefined, 0]);
    expect(warm.action).toEqual(full.action);
    const counted = await metricLines(server, 'hyperpolicy_fallbacks_total');
    expect(counted).toEqual({ 'hyperpolicy_fallbacks_total{fallback="safe",reason="budget"}': 1 });
  });

  test('whatever is late first, the work or the timer, a fallback is no error', async () => {
    const small = { ...slow, model: 'small', hiddenSize: 8, trunkSizes: [16] };
    const server = await startTestServer([small]);
    // Busy turns, longer than the budget: the generation is there before the server looks at the time again.
    let isBusy = true;
    const spin = () => {
      for (const endMs = performance.now() + 2; performance.now() < endMs; );
      if (isBusy) setImmediate(spin);
    };
    spin();
    let standInCount = 0;
    for (let wave = 0; wave < 30; wave++) {
      const asked = Array.from({ length: 8 }, () => ({ ...unseen(1), model: 'small', budgetUs: 300 }));
      const answers = await Promise.all(asked.map((one) => server.client.act({ ...one, fallback: 'safe' })));
      standInCount += answers.filter(({ fallback }) => fallback !== undefined).length;
    }
    isBusy = false;
    expect(standInCount).toBeGreaterThan(0);
    const counted = await metricLines(server, 'hyperpolicy_fallbacks_total');
    expect(Object.values(counted).reduce((sum, value) => sum + value, 0)).toBe(standInCount);
  });

  test('hold: the last action of this client, with its age; of nobody else and no other size', async () => {
    const { client } = await startTestServer([], { store });
    const warm = unseen();
    const last = await client.act({ ...warm, clientId: 'robot-1' });
    const budget = { budgetUs: 1000, fallback: 'hold' } as const;
    const held = await client.act({ ...unseen(), ...budget, clientId: 'robot-1' });
    expect(held.fallback).toMatchObject({ kind: 'hold', reason: 'budget' });
    expect(held.fallback!.ageMs).toBeGreaterThan(0);
    expect(held.action).toEqual(last.action);
    expect((await client.act({ ...unseen(), ...budget, clientId: 'robot-2' })).fallback).toMatchObject({
      kind: 'safe',
    });
    const other = await client.act({ ...unseen(40), ...budget, clientId: 'robot-1' });
    expect([other.fallback?.kind, other.action.shape]).toEqual(['safe', [40, 2]]);
  });

  test('hold: nothing of a version with other actions', async () => {
    const own = await temporaryStore([slow, slow, { ...slow, actionSize: 1 }]);
    const { client } = await startTestServer([], { store: own, versionCountMax: 3 });
    const asked = { clientId: 'robot-1', budgetUs: 1000, fallback: 'hold' } as const;
    const last = await client.act({ ...unseen(), version: 1, clientId: 'robot-1' });
    const other = await client.act({ ...unseen(), ...asked, version: 3 });
    expect([other.fallback?.kind, other.action]).toEqual(['safe', { shape: [64, 1], values: new Float32Array(64) }]);
    const same = await client.act({ ...unseen(), ...asked, version: 2 });
    expect([same.fallback?.kind, same.action]).toEqual(['hold', last.action]);
  });

  test('hold: nothing of another token, whatever client_id it sends', async () => {
    const names = ['a', 'b'] as const;
    const tokensFile = join(store, 'tokens.json');
    const sha256 = (token: string) => createHash('sha256').update(token).digest('hex');
    await writeFile(tokensFile, JSON.stringify(names.map((name) => ({ name, sha256: sha256(name) }))));
    const { address } = await startTestServer([], { store, tokensFile });
    const [one, other] = names.map((token) => {
      const client = createPolicyClient({ address, token });
      onTestFinished(() => client.close());
      return client;
    });
    const last = await one!.act({ ...unseen(), clientId: 'robot-1' });
    const late = () => ({ ...unseen(), budgetUs: 1000, fallback: 'hold', clientId: 'robot-1' }) as const;
    expect((await other!.act(late())).fallback).toMatchObject({ kind: 'safe' });
    const held = await one!.act(late());
    expect([held.fallback?.kind, held.action]).toEqual(['hold', last.action]);
  });

  test('error: DEADLINE_EXCEEDED within the budget', async () => {
    const { client } = await startTestServer([], { store });
    await expect(client.act({ ...unseen(), budgetUs: 1000 })).rejects.toMatchObject({
      kind: 'deadline_exceeded',
      // Given up, or dropped from the queue: whichever is first.
      message: expect.stringMatching(
        /^(Act: expected an answer within the budget, got none yet|queue of policy\.primary\.onnx: expected a deadline that has not passed)/,
      ),
    });
  });

  test('a deadline is kept in band, with the fallback and without', async () => {
    // What is new waits a second for others: by then it is due, 700 ms before the client gives up.
    const { client } = await startTestServer([], { store, deadlineMarginMs: 10_000, batchDelayMs: 1000 });
    const timeoutMs = 1400;
    // Of 32 rows and more a run is full at once.
    const safe = await client.act({ ...unseen(8), fallback: 'safe' }, { timeoutMs });
    expect(safe.fallback).toMatchObject({ kind: 'safe', reason: 'deadline' });
    // What was given up goes first, so that the next wait is a whole one.
    await client.act(unseen(8));
    await expect(client.act(unseen(8), { timeoutMs })).rejects.toMatchObject({
      kind: 'deadline_exceeded',
      message: expect.stringMatching(/^Act: expected an answer before the deadline, got none yet/),
    });
  });

  test('a full queue is a fallback too', async () => {
    const { client } = await startTestServer([], { store, queueRowCountMax: 64 });
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => client.act({ ...unseen(), fallback: 'safe' }, { timeoutMs: 60_000 })),
    );
    const reasons = answers.map(({ fallback }) => fallback?.reason);
    expect(reasons).toContain('overload');
    expect(reasons).toContain(undefined);
    await expect(
      Promise.all(Array.from({ length: 8 }, () => client.act(unseen(), { timeoutMs: 60_000 }))),
    ).rejects.toMatchObject({
      kind: 'resource_exhausted',
      message: expect.stringContaining('at most 64 rows waiting'),
    });
  });

  test('so is one of a dynamic network that runs on a thread, whose weights are kept', async () => {
    const own = await temporaryStore([{ ...slow, critic: 'none', hiddenSize: 8, trunkSizes: [16] }]);
    await changeGraph(join(own, 'slow', '1'), 'policy.dynamic.onnx', (model) => withSlowRuns(model, 'observation'));
    const { client } = await startTestServer([], { store: own, workerCount: 1, queueRowCountMax: 1 });
    const context = [1, 2];
    await client.prepare({ model: 'slow', context });
    // About 50 ms each: one runs, one waits, and there is no room for more.
    const request = { model: 'slow', observation: [10, 0, 0], context, fallback: 'safe' } as const;
    const answers = await Promise.all(Array.from({ length: 8 }, () => client.act(request, { timeoutMs: 60_000 })));
    const reasons = answers.map(({ fallback }) => fallback?.reason);
    expect(reasons).toContain('overload');
    expect(reasons).toContain(undefined);
  });

  test('a fallback without a time is refused', async () => {
    const { address } = await startTestServer([], { store });
    const observation = encodeTensor(Float32Array.of(1, 2, 3), [1, 3]);
    const context = encodeTensor(Float32Array.of(1, 2), [1, 2]);
    const contextSource = { case: 'context', value: context } as const;
    const fields = { model: 'slow', observation, contextSource, fallback: Fallback.SAFE };
    const bytes = toBinary(ActRequestSchema, create(ActRequestSchema, fields));
    // The client always sends one.
    expect(await rawCaller(address)('/hyperpolicy.v1.PolicyService/Act', bytes, Infinity)).toMatchObject({
      status: 'INVALID_ARGUMENT',
      text: expect.stringContaining('Act fallback: expected a budget_us or a deadline with it, got neither'),
    });
  });
});

describe('heavy graphs', () => {
  test('do not keep small ones waiting', async () => {
    const { client } = await startTestServer([], { store, workerCount: 1 });
    const known = unseen(1);
    const patient = { timeoutMs: 60_000 };
    await client.act(known, patient);
    let busy = true;
    const batch = { model: 'slow', observation: rows(512, 3), action: rows(512, 2) };
    const heavy = client.qGrad(batch, patient).finally(() => {
      busy = false;
    });
    let answered = 0;
    while (busy) {
      await client.act(known, patient);
      answered++;
    }
    await heavy;
    // Behind it, the first would come when it is done.
    expect(answered).toBeGreaterThan(2);
  });
});

/** Clocks and timers that stand still; turns of the event loop are real. */
function stopClocks(): void {
  vi.useFakeTimers({ toFake: ['Date', 'performance', 'setTimeout', 'clearTimeout'] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
}

describe('dueOf', () => {
  const call = (leftMs: number) => createCall(performance.now(), Date.now() + leftMs);

  test('takes the margin, but never more than half of what is left', () => {
    stopClocks();
    const due = (leftMs: number) => dueOf(call(leftMs), 0, 10)!.atMs - performance.now();
    expect(due(100)).toBeCloseTo(90, 6);
    expect(due(8)).toBeCloseTo(4, 6);
  });

  test('is the sooner of budget and deadline', () => {
    stopClocks();
    expect(dueOf(call(100), 5000, 10)!.reason).toBe('budget');
    expect(dueOf(call(100), 500_000, 10)!.reason).toBe('deadline');
    expect(dueOf({ ...call(0), deadlineMs: Number.POSITIVE_INFINITY }, 0, 10)).toBeUndefined();
  });
});

describe('answerByDue', () => {
  test('keeps a budget to a turn of the event loop', async () => {
    stopClocks();
    let isLate = false;
    const late = () => {
      isLate = true;
    };
    const atMs = performance.now() + 5;
    const answered = answerByDue(new Promise<void>(() => {}), { atMs, reason: 'budget' }, late, expect.unreachable);
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    // Timers are late by more than a millisecond: the last of the time it looks at the clock at every turn.
    vi.advanceTimersByTime(4);
    for (let i = 0; i < 10; i++) await turn();
    expect(isLate).toBe(false);
    vi.advanceTimersByTime(1);
    await turn();
    expect(isLate).toBe(true);
    await answered;
  });

  test('an answer in time is the answer, an error in time the error', async () => {
    const due = { atMs: performance.now() + 60_000, reason: 'budget' } as const;
    const failLate = vi.fn();
    expect(await answerByDue(Promise.resolve(1), due, () => 2, failLate)).toBe(1);
    await expect(answerByDue(Promise.reject(new Error('no')), due, () => 2, failLate)).rejects.toThrow('no');
    expect(failLate).not.toHaveBeenCalled();
  });

  test('an error that comes later is told; an answer is dropped', async () => {
    const due = { atMs: performance.now(), reason: 'budget' } as const;
    const failLate = vi.fn();
    const error = new Error('no');
    const begun = new EventEmitter();
    const ends = [
      async () => {
        throw error;
      },
      async () => 1,
    ];
    const answers = ends.map((end) => answerByDue(once(begun, 'go').then(end), due, () => 2, failLate));
    expect(await Promise.all(answers)).toEqual([2, 2]);
    begun.emit('go');
    await vi.waitFor(() => expect(failLate.mock.calls).toEqual([[error]]));
  });
});

describe('held actions', () => {
  const one = { rowCount: 1, fingerprint: 'sha256:1' };

  test('are bounded, and the client served longest ago goes first', () => {
    const held = new LastActions({ countMax: 2 });
    const action = { ...one, action: Float32Array.of(1), servedAtMs: 0 };
    const client = (clientId: string) => ({ model: 'm', caller: '', clientId });
    for (const clientId of ['a', 'b', 'a', 'c']) held.put(client(clientId), action);
    expect(['a', 'b', 'c'].map((id) => held.get(client(id), one) !== undefined)).toEqual([true, false, true]);
    expect(held.get({ ...client('a'), model: 'other' }, one)).toBeUndefined();
  });

  test('are of one token, whatever its name and the client’s are made of', () => {
    const held = new LastActions({ countMax: 9 });
    held.put({ model: 'm', caller: 'a', clientId: 'b/c' }, { ...one, action: Float32Array.of(1), servedAtMs: 0 });
    for (const [caller, clientId] of [
      ['', 'b/c'],
      ['', 'a/b/c'],
      ['a/b', 'c'],
      ['a","b/c', ''],
    ] as const) {
      expect(held.get({ model: 'm', caller, clientId }, one)).toBeUndefined();
    }
    expect(held.get({ model: 'm', caller: 'a', clientId: 'b/c' }, one)?.action).toEqual(Float32Array.of(1));
  });
});
