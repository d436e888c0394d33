/** The compliance cases of single calls, made by the Python client against the server that each suite asks for. */

import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { type Case, isStream, startSuite, suites } from '../compliance/suite.ts';
import { pythonTest, runPython } from './python-run.ts';

/** What the client has no way to send, or refuses in place of the server's other refusal. */
const notSaid: Readonly<Record<string, readonly string[]>> = {
  policy: [
    'too few bytes',
    'a shape whose product overflows',
    'QGrad of an unknown model',
    'unknown reduction',
    'unknown fallback',
    'Prepare with an unknown pinning',
    'Adapt: rewards cut short',
    'Act with a message over the limit',
    'Act: a message that does not parse',
    'QGrad: a message that does not parse',
    'Adapt: a message that does not parse',
    'Prepare: a message that does not parse',
    'ListModels: a message that does not parse',
    'GetModel: a message that does not parse',
    'QGrad: an observation cut short',
  ],
};

/** Suites whose calls stand by themselves: in the others they follow what other clients did. */
const alone = ['access', 'empty', 'faults', 'limits', 'policy', 'unready', 'waiting'];

/** Single calls of the policy service. */
const isOwn = (one: Case) => !isStream(one) && !one.method.includes('/') && one.port !== 'admin';

pythonTest.each(suites.filter(([name]) => alone.includes(name)))('%s', { timeout: 240_000 }, async (name, suite) => {
  const cleanUps: (() => Promise<void>)[] = [];
  try {
    const { addresses } = await startSuite(suite, (clean) => cleanUps.push(clean));
    const file = fileURLToPath(new URL(`../compliance/service/${name}.json`, import.meta.url));
    const { code, said } = await runPython(['conformance.py', file, addresses.serving]);
    expect(code, said).toBe(0);
    const { ran, failed, passed_over: passedOver } = JSON.parse(said);
    expect(failed).toEqual([]);
    expect(passedOver).toEqual(notSaid[name] ?? []);
    expect(ran + passedOver.length).toBe(suite.cases.filter(isOwn).length);
  } finally {
    for (const clean of cleanUps.reverse()) await clean();
  }
});
