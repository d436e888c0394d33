/** Runs one case against a server, and holds what came against what the case says. */

import { type DescMethod, fromBinary, fromJson, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import type { RawPeer, RawResult, RawStream } from './raw-call.ts';
import {
  type CallCase,
  type Case,
  type Expected,
  fullName,
  isStream,
  methodOf,
  type Outcome,
  type Step,
  type StreamCase,
} from './suite.ts';

export type CaseRunner = (one: Case) => Promise<void>;

export type CaseRunnerOptions = {
  readonly peers: Readonly<Record<'serving' | 'admin', RawPeer>>;
  readonly terminate: () => void;
  /** What the cases before saved, by name; none unless given. */
  readonly saved?: Record<string, JsonValue>;
};

/** Cases of one suite share what they save. */
export function createCaseRunner({ peers, terminate, saved = {} }: CaseRunnerOptions): CaseRunner {
  function bytesOf(method: DescMethod, request: Record<string, JsonValue>): Uint8Array {
    return toBinary(method.input, fromJson(method.input, expand(request, saved)));
  }

  function receive(method: string, result: RawResult, expected: Expected): JsonValue {
    if (!('bytes' in result)) expect.fail(`${method}: ${result.status} ${result.text}`);
    const { output } = methodOf(method)!;
    const json = toJson(output, fromBinary(output, result.bytes));
    expectIn(json, expected, saved);
    return json;
  }

  async function runCall(one: Omit<CallCase, 'name'>): Promise<void> {
    const { method, request = {}, bytes, deadlineMs, token, response = {}, save = {} } = one;
    const { repeat = 1, outcomes = [{ status: one.status ?? 'OK', ...(one.text && { text: one.text }) }] } = one;
    const sent = bytes === undefined ? bytesOf(methodOf(method)!, { ...request }) : Buffer.from(bytes, 'hex');
    const { call } = peers[portOf(one)];
    const made = Array.from({ length: repeat }, () => call(`/${fullName(method)}`, sent, deadlineMs, token));
    const results = await Promise.all(made);
    const told = results.map((result) => ('bytes' in result ? { status: 'OK' } : result));
    const wanted = outcomes.map(outcomeMatcher);
    if (wanted.length > 1) {
      for (const result of told) expect(wanted).toContainEqual(result);
      for (const outcome of wanted) expect(told).toContainEqual(outcome);
      return;
    }
    for (const result of told) expect(result).toEqual(wanted[0]);
    if (outcomes[0]!.status !== 'OK') return;
    const json = receive(method, results[0]!, response);
    for (const [name, path] of Object.entries(save)) saved[name] = at(json, path)!;
  }

  async function runStep(step: Step, stream: RawStream, method: string): Promise<void> {
    if ('send' in step) stream.send(bytesOf(methodOf(method)!, step.send));
    else if ('sendBytes' in step) stream.send(Buffer.from(step.sendBytes, 'hex'));
    else if ('receive' in step) receive(method, await stream.next(), step.receive);
    else if ('finish' in step) stream.finish();
    else if ('call' in step) await runCall(step.call);
    else if ('terminate' in step) terminate();
    else {
      const last = await stream.next();
      expect('text' in last && last.status === 'OK' ? { status: 'OK' } : last).toEqual(
        outcomeMatcher({ status: step.end, ...step }),
      );
    }
  }

  async function runStream({ steps, beside = 0, ...one }: StreamCase): Promise<void> {
    const { method, deadlineMs, token } = one;
    const open = () => peers[portOf(one)].open(`/${fullName(method)}`, deadlineMs, token);
    const opening = steps.slice(
      0,
      steps.findIndex((step) => 'receive' in step || 'end' in step),
    );
    for (let i = 0; i < beside; i++) {
      const other = open();
      for (const step of opening) await runStep(step, other, method);
      receive(method, await other.next(), {});
    }
    const stream = open();
    for (const step of steps) await runStep(step, stream, method);
  }

  return (one) => (isStream(one) ? runStream(one) : runCall(one));
}

/** Holds a response's JSON against what a case expects of it. */
export function expectIn(json: JsonValue, expected: Expected, saved: Readonly<Record<string, JsonValue>>): void {
  const got = Object.fromEntries(Object.keys(expected).map((path) => [path, at(json, path) ?? null]));
  const wanted = Object.entries(expected).map(([path, value]) => [path, matcher(substitute(value, saved))]);
  expect(got).toEqual(Object.fromEntries(wanted));
}

const outcomeMatcher = ({ status = 'OK', text }: Outcome) => ({
  status,
  ...(status === 'OK' && text === undefined ? {} : { text: text === undefined ? expect.anything() : matcher(text) }),
});

export const portOf = ({ port, method }: Pick<Case, 'port' | 'method'>): 'serving' | 'admin' =>
  port ?? (fullName(method).startsWith('hyperpolicy.v1.AdminService/') ? 'admin' : 'serving');

/** A text that begins with ^ is a regular expression. */
const matcher = (value: JsonValue): unknown =>
  typeof value === 'string' && value.startsWith('^') ? expect.stringMatching(new RegExp(value)) : value;

/** Whether a text is the expected one, or matches where that is a regular expression. */
export const isText = (expected: string, text: string): boolean =>
  expected.startsWith('^') ? new RegExp(expected).test(text) : text === expected;

export const substitute = (value: JsonValue, saved: Readonly<Record<string, JsonValue>>): JsonValue =>
  typeof value === 'string' && value.startsWith('$') ? saved[value.slice(1)]! : value;

export const at = (json: JsonValue, path: string): JsonValue | undefined =>
  path
    .split('.')
    .reduce<JsonValue | undefined>((value, key) => (value as Record<string, JsonValue> | undefined)?.[key], json);

type Floats = { readonly values?: readonly (number | string)[]; readonly fill?: number; readonly bytes?: number };

/** A request as a case writes it, to what protobuf's JSON has: tensors and floats become base64, `$name` what was saved. */
function expand(value: JsonValue, saved: Readonly<Record<string, JsonValue>>): JsonValue {
  if (Array.isArray(value)) return value.map((one) => expand(one, saved));
  if (value === null || typeof value !== 'object') return substitute(value, saved);
  const { float32, repeated, count, ...others } = value;
  if (float32 !== undefined) return base64({ values: float32 as (number | string)[] });
  if (repeated !== undefined) return (repeated as string).repeat(count as number);
  const { shape, values, fill, bytes } = others;
  if (values === undefined && fill === undefined && bytes === undefined) {
    return Object.fromEntries(Object.entries(others).map(([name, one]) => [name, expand(one, saved)]));
  }
  return { shape: shape!, data: base64(others as Floats, shape as number[]) };
}

/** Little-endian float32 values, or so many bytes that are 0. */
function base64({ values, fill = 0, bytes }: Floats, shape: readonly number[] = []): string {
  if (bytes !== undefined) return Buffer.alloc(bytes).toString('base64');
  const size = shape.reduce((product, length) => product * length, 1);
  const floats = Float32Array.from(values?.map(Number) ?? Array.from({ length: size }, () => fill));
  return Buffer.from(floats.buffer).toString('base64');
}
