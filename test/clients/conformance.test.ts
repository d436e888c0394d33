/**
 * The compliance cases of the policy service, said by every client to the server that each suite asks for: the same names, defaults,
 * answers and errors. What a client cannot say is listed.
 */

import type { JsonValue } from '@bufbuild/protobuf';
import { expect, type TestAPI, test } from 'vitest';
import { rawPeer } from '../compliance/raw-call.ts';
import { createCaseRunner } from '../compliance/run-case.ts';
import { type Case, isStream, type Suite, startSuite, suites } from '../compliance/suite.ts';
import type { ClientPeer } from './conformance/peer.ts';
import { pythonPeer } from './conformance/python-peer.ts';
import { createClientRunner, type Ran } from './conformance/run.ts';
import { connectPeer, grpcPeer } from './conformance/typescript-peer.ts';
import { pythonTest } from './python-run.ts';

type Addresses = { readonly serving: string; readonly http: string };
type Client = {
  readonly name: string;
  readonly hasStreams: boolean;
  readonly test: TestAPI | TestAPI['skip'];
  open(at: Addresses): ClientPeer;
};

const clients: readonly Client[] = [
  { name: 'TypeScript over gRPC', hasStreams: true, test, open: ({ serving }) => grpcPeer(serving) },
  { name: 'TypeScript over Connect', hasStreams: false, test, open: ({ http }) => connectPeer(http) },
  { name: 'Python', hasStreams: true, test: pythonTest, open: ({ serving }) => pythonPeer(serving, 'sync') },
  {
    name: 'Python with asyncio',
    hasStreams: true,
    test: pythonTest,
    open: ({ serving }) => pythonPeer(serving, 'asyncio'),
  },
];

/** Suites of which the policy service has cases. */
const own = suites.filter(([, { cases }]) => cases.some(({ method }) => !method.includes('/')));

const sleeping = 'waiting';

for (const client of clients) {
  const busy = own.filter(([name]) => name !== sleeping);
  client.test.each(busy)(`${client.name}: %s`, { timeout: 240_000 }, async (name, suite) =>
    conform(client, name, suite),
  );
}

// Its cases wait for a second each.
for (const client of clients) {
  const [, suite] = own.find(([name]) => name === sleeping)!;
  client.test.concurrent(`${client.name}: ${sleeping}`, { timeout: 240_000 }, () => conform(client, sleeping, suite));
}

async function conform(client: Client, name: string, suite: Suite): Promise<void> {
  const cleanUps: (() => Promise<void>)[] = [];
  const cleanUp = (clean: () => Promise<void>) => void cleanUps.push(clean);
  try {
    const settings = { ...suite.settings, httpPort: 0 };
    const { addresses, terminate, streamed } = await startSuite({ ...suite, settings }, cleanUp);
    const peers = { serving: rawPeer(addresses.serving, cleanUp), admin: rawPeer(addresses.admin, cleanUp) };
    const saved: Record<string, JsonValue> = {};
    const peer = client.open(addresses);
    cleanUp(() => peer.close());
    const raw = createCaseRunner({ peers, terminate, saved });
    const run = createClientRunner({ peer, raw, saved, terminate, streamed });
    const ran: Record<Ran, string[]> = { client: [], unsayable: [], 'other service': [] };
    for (const one of suite.cases) ran[await named(one, run)].push(one.name);
    expect([...ran.unsayable].sort()).toEqual([...notSaid(client, name, suite.cases)].sort());
    if (client.hasStreams) expect(ran.client.length).toBeGreaterThan(0);
  } finally {
    for (const clean of cleanUps.reverse()) await clean();
  }
}

/** Says which case it was. */
async function named(one: Case, run: (one: Case) => Promise<Ran>): Promise<Ran> {
  try {
    return await run(one);
  } catch (error) {
    throw new Error(`${one.name}: ${(error as Error).message}`, { cause: error });
  }
}

/** By suite, of every client. */
const unsayable: Readonly<Record<string, readonly string[]>> = {
  'act-stream': [
    'a message without a request ends the stream',
    'a message that does not parse ends the stream',
    'a stream without requests ends well',
  ],
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

/** Connect has no streams. */
const notSaid = (client: Client, name: string, cases: readonly Case[]): readonly string[] =>
  client.hasStreams
    ? (unsayable[name] ?? [])
    : [...(unsayable[name] ?? []).filter((one) => !cases.some((each) => each.name === one && isStream(each)))].concat(
        cases.filter((one) => isStream(one) && !one.method.includes('/')).map((one) => one.name),
      );
