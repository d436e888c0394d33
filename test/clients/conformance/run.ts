/**
 * Runs a compliance case through a client. What the client has no way to say, and what is not the policy service, is said by raw calls: the
 * cases behind it find the same server.
 */

import { setTimeout } from 'node:timers/promises';
import type { JsonValue } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import { at, type CaseRunner, expectIn, isText, portOf, substitute } from '../../compliance/run-case.ts';
import {
  type CallCase,
  type Case,
  isStream,
  type Outcome,
  type Step,
  type StreamCase,
} from '../../compliance/suite.ts';
import { type ClientPeer, type ClientStream, type Fields, type StreamOptions, type Told, Unsayable } from './peer.ts';

export type ClientRunnerDeps = {
  readonly peer: ClientPeer;
  readonly raw: CaseRunner;
  /** Shared with `raw`. */
  readonly saved: Record<string, JsonValue>;
  readonly terminate: () => void;
  /** Messages of streams that the server has. */
  readonly streamed: () => Promise<number>;
};

export type Ran = 'client' | 'unsayable' | 'other service';

type Send = { readonly act: Fields; readonly follow?: boolean; readonly newestWins?: boolean };

/** Cases of one suite share what they save. */
export function createClientRunner({
  peer,
  raw,
  saved,
  terminate,
  streamed,
}: ClientRunnerDeps): (one: Case) => Promise<Ran> {
  const fieldsOf = (fields: Fields): Fields =>
    Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, substitute(value, saved)]));

  async function runCall(one: Omit<CallCase, 'name'>): Promise<void> {
    const { method, request = {}, token, deadlineMs, repeat = 1, response = {}, save = {} } = one;
    if (one.bytes !== undefined) throw new Unsayable('bytes');
    const outcomes = one.outcomes ?? [
      { status: one.status ?? 'OK', ...(one.text !== undefined && { text: one.text }) },
    ];
    const ask = () => peer.call({ method, request: fieldsOf(request), token, deadlineMs });
    const told = await Promise.all(Array.from({ length: repeat }, ask));
    const statuses = outcomes.map(({ status = 'OK' }) => status);
    // The client asks for it, and the server would not.
    if (told.some((each) => 'isOwn' in each && each.isOwn && !statuses.includes(each.status))) {
      throw new Unsayable('a request without what the client asks for');
    }
    for (const each of told)
      expect(
        outcomes.filter((outcome) => fits(outcome, each, peer)),
        JSON.stringify(each),
      ).not.toEqual([]);
    for (const outcome of outcomes)
      expect(
        told.filter((each) => fits(outcome, each, peer)),
        outcome.text,
      ).not.toEqual([]);
    const [first] = told;
    if (repeat > 1 || !('json' in first!)) return;
    expectIn(first.json, response, saved);
    for (const [name, path] of Object.entries(save)) saved[name] = at(first.json, path)!;
  }

  async function runStream({ steps, token, deadlineMs, beside = 0 }: StreamCase): Promise<void> {
    const open = peer.open;
    const [first] = steps;
    if (open === undefined) throw new Unsayable('a stream');
    if (first === undefined || !('send' in first) || deadlineMs !== undefined || beside > 0)
      throw new Unsayable('its beginning');
    if (steps.some((step) => 'sendBytes' in step || ('send' in step && step.send.act === undefined))) {
      throw new Unsayable('a message without a request');
    }
    const { act, ...options } = first.send as Send;
    const request = fieldsOf(act);
    const conversation = new Conversation(peer, await open({ ...options, request, token } as StreamOptions), saved);
    let expectedCount = await streamed();
    for (const step of steps) {
      // What goes another way comes after what was sent.
      if ('call' in step || 'terminate' in step) while ((await streamed()) < expectedCount) await setTimeout(10);
      if ('send' in step) {
        conversation.send(fieldsOf(step.send.act as Fields));
        expectedCount++;
      } else if ('call' in step) await runStepCall(step.call);
      else if ('terminate' in step) terminate();
      else await conversation.hear(step);
    }
    await conversation.close();
  }

  const isOwn = (one: Omit<CallCase, 'name'>) => !one.method.includes('/') && portOf(one) === 'serving';

  const runStepCall = async (call: Omit<CallCase, 'name'>) =>
    isOwn(call) ? runCall(call) : raw({ ...call, name: 'within a stream' });

  return async (one) => {
    if (!isOwn(one as CallCase)) {
      await raw(one);
      return 'other service';
    }
    try {
      await (isStream(one) ? runStream(one) : runCall(one));
      return 'client';
    } catch (error) {
      if (!(error instanceof Unsayable)) throw error;
      await raw(one);
      return 'unsayable';
    }
  };
}

/** A client that refuses by itself has a text of its own. */
const fits = ({ status = 'OK', text }: Outcome, told: Told, { isAlike }: ClientPeer): boolean =>
  told.status === status &&
  ('json' in told ||
    told.isOwn ||
    text === undefined ||
    isText(text, told.text) ||
    isAlike?.(text, told.text) === true);

/** One stream: its requests in order, of which those that were superseded are counted with the answer that passed them. */
class Conversation {
  readonly #peer: ClientPeer;
  readonly #stream: ClientStream;
  readonly #saved: Record<string, JsonValue>;
  readonly #pending: { readonly sequence: JsonValue; readonly told: Promise<Told> }[] = [];
  #closed: Promise<Told> | undefined;

  constructor(peer: ClientPeer, stream: ClientStream, saved: Record<string, JsonValue>) {
    this.#peer = peer;
    this.#stream = stream;
    this.#saved = saved;
  }

  send(request: Fields): void {
    const told = this.#stream.act(request);
    told.catch(() => {});
    this.#pending.push({ sequence: request.sequence ?? '0', told });
  }

  async hear(step: Step): Promise<void> {
    if ('finish' in step) this.#closed = this.#stream.close();
    else if ('receive' in step) await this.#receive(step.receive);
    else if ('end' in step) await this.#end(step);
  }

  close(): Promise<Told> {
    this.#closed ??= this.#stream.close();
    return this.#closed;
  }

  async #receive(expected: Readonly<Record<string, JsonValue>>): Promise<void> {
    const next = this.#pending.shift();
    if (next === undefined) expect.fail('expected a request that waits, got none');
    const told = await next.told;
    const { sequence } = next;
    if (!('json' in told)) {
      if (!('error.status' in expected)) expect.fail(`expected an answer, got ${JSON.stringify(told)}`);
      const text = told.isOwn ? (expected['error.text'] ?? told.text) : told.text;
      return expectIn({ error: { sequence, status: told.status, text } }, expected, this.#saved);
    }
    // The server counts with an answer those that it then passes over; the client tells each of them when the next answer is there.
    const supersededCount = typeof expected.supersededCount === 'number' ? await this.#passOver() : 0;
    const response = { ...(told.json as object), sequence };
    expectIn({ response, ...(supersededCount > 0 && { supersededCount }) }, expected, this.#saved);
  }

  async #passOver(): Promise<number> {
    for (let count = 0; ; count++) {
      const [next] = this.#pending;
      if (next === undefined || (await next.told).status !== 'SUPERSEDED') return count;
      this.#pending.shift();
    }
  }

  async #end({ end, text }: { readonly end: string; readonly text?: string }): Promise<void> {
    const waits = this.#pending.shift();
    const ending = () => (end === 'OK' ? this.close() : this.#stream.over());
    const told = waits === undefined ? await ending() : await waits.told;
    expect(fits({ status: end, ...(text !== undefined && { text }) }, told, this.#peer), JSON.stringify(told)).toBe(
      true,
    );
  }
}
