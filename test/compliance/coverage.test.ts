/** Fails where a method, a status, a field or a bound of the service has no case in `service/`. */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { statusCodes } from '../../src/contract/status.ts';
import { PolicyService } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { type CallCase, type Case, fullName, isStream, methodOf, services, suites } from './suite.ts';

type Expectation = { readonly method: string; readonly status: string; readonly text: string };

/** What the cases expect, call by call; of a stream its messages and its end. */
const expectations: readonly Expectation[] = suites.flatMap(([, { cases }]) => cases.flatMap(expectationsOf));

function expectationsOf(one: Case): Expectation[] {
  const method = fullName(one.method);
  if (!isStream(one)) return ofCall(one);
  return one.steps.flatMap((step): Expectation[] => {
    if ('call' in step) return ofCall(step.call);
    if ('end' in step) return [{ method, status: step.end, text: step.text ?? '' }];
    if (!('receive' in step)) return [];
    const { 'error.status': status, 'error.text': text, errorMessage } = step.receive;
    if (status !== undefined) return [{ method, status: `${status}`, text: `${text ?? ''}` }];
    return [{ method, status: errorMessage === undefined ? 'OK' : 'refused', text: `${errorMessage ?? ''}` }];
  });
}

function ofCall({ status, text, outcomes, ...one }: Omit<CallCase, 'name'>): Expectation[] {
  const all = outcomes ?? [{ ...(status && { status }), ...(text && { text }) }];
  return all.map((outcome) => ({
    method: fullName(one.method),
    status: outcome.status ?? 'OK',
    text: (outcome.text ?? '').replaceAll('\\', '').replace(/^\^/, ''),
  }));
}

const statusesOf = (method: string): ReadonlySet<string> =>
  new Set(expectations.filter((one) => one.method === method).map(({ status }) => status));

/** The statuses of the README's table, which is the design's. */
function documentedStatuses(): readonly string[] {
  const readme = readFileSync(new URL('../../server/README.md', import.meta.url), 'utf8');
  const [, section] = /^## Statuses\n(.*?)^## /ms.exec(readme)!;
  return section!
    .split('\n')
    .flatMap((line) => /^\| ([A-Z_, ]+) \|/.exec(line.replaceAll(/ +/g, ' '))?.[1]?.split(', ') ?? []);
}

describe('the cases', () => {
  const methods = services.flatMap(({ typeName, methods: all }) => all.map(({ name }) => `${typeName}/${name}`));

  test.each(methods)('have one that %s answers', (method) => {
    expect(statusesOf(method)).toContain('OK');
  });

  /** Nothing can be wrong with these, and nobody is kept out. */
  const neverRefused = ['grpc.health.v1.Health/List'];
  test.each(methods.filter((method) => !neverRefused.includes(method)))('have one that %s refuses', (method) => {
    expect([...statusesOf(method)].filter((status) => status !== 'OK')).not.toEqual([]);
  });

  test('have every status of the table, and the table has every status that the server gives', () => {
    // A client's own doing, and a method that is not there, are nothing that a method decides on.
    const { OK, CANCELLED, UNIMPLEMENTED, ...decided } = statusCodes;
    expect([...documentedStatuses()].sort()).toEqual(Object.keys(decided).sort());
    const found = new Set(expectations.map(({ status }) => status));
    expect(['OK', 'UNIMPLEMENTED', ...Object.keys(decided)].filter((status) => !found.has(status))).toEqual([]);
  });

  const always = ['NOT_FOUND', 'INVALID_ARGUMENT', 'UNAUTHENTICATED', 'PERMISSION_DENIED', 'UNAVAILABLE'];
  const computing = [...always, 'FAILED_PRECONDITION', 'RESOURCE_EXHAUSTED', 'DEADLINE_EXCEEDED'];
  test.each([
    ['Act', computing],
    ['ActStream', computing],
    ['QGrad', computing],
    ['Adapt', [...computing, 'INTERNAL']],
    ['Prepare', computing],
    ['GetModel', always],
    ['ListModels', ['UNAUTHENTICATED', 'INVALID_ARGUMENT', 'RESOURCE_EXHAUSTED']],
    ['inference.GRPCInferenceService/ModelInfer', computing],
  ])('have every status of %s', (method, statuses) => {
    const found = statusesOf(fullName(method));
    expect(statuses.filter((status) => !found.has(status))).toEqual([]);
  });

  /** Fields of which every value is good. */
  const neverWrong: Readonly<Record<string, readonly string[]>> = {
    Act: ['sequence', 'budget_us'],
    ActStream: ['follow', 'newest_wins'],
    QGrad: ['sequence'],
    Adapt: ['sequence'],
    Prepare: [],
    GetModel: [],
    ListModels: [],
  };
  test.each(PolicyService.methods.map(({ name }) => name))('have a refusal of each field of %s', (name) => {
    const texts = expectations.filter(({ method }) => method === fullName(name)).map(({ text }) => text);
    const fields = methodOf(name)!.input.fields.map((field) => field.name);
    const checked = fields.filter((field) => !neverWrong[name]!.includes(field));
    const isRefused = (field: string) =>
      texts.some((text) => text.startsWith(`${name} ${field}: `) || text.includes(`\`${field}\``));
    expect(checked.filter((field) => !isRefused(field))).toEqual([]);
  });

  test.each([
    ['requests in flight', /at most \d+ requests in flight/],
    ['rows that wait', /at most \d+ rows waiting/],
    ['the size of a request', /Received message larger than max/],
    ['the size of a response', /response: expected at most \d+ bytes/],
    ['pinned weights', /pinned/],
    ['watches', /at most \d+ watches/],
    ['the size of a held context', /^context handles: expected at most \d+ bytes/],
    ['the rate of a token', /requests per second with this token/],
  ])('have the bound of %s', (_, bound) => {
    const exhausted = expectations.filter(({ status }) => status === 'RESOURCE_EXHAUSTED');
    expect(exhausted.map(({ text }) => text)).toContainEqual(expect.stringMatching(bound));
  });

  test('have names, each once in its suite', () => {
    for (const [file, { cases }] of suites) {
      const names = cases.map(({ name }) => name);
      expect(
        names.filter((name, i) => names.indexOf(name) !== i),
        file,
      ).toEqual([]);
    }
  });
});
