/** Runs the suites of `service/` against the real server. */

import { afterAll, beforeAll, describe, test } from 'vitest';
import { rawPeer } from './raw-call.ts';
import { type CaseRunner, createCaseRunner } from './run-case.ts';
import { startSuite, suites } from './suite.ts';

describe.each(suites)('%s', (_, suite) => {
  let run: CaseRunner;
  beforeAll(async () => {
    const { addresses, terminate } = await startSuite(suite, afterAll);
    const peers = { serving: rawPeer(addresses.serving, afterAll), admin: rawPeer(addresses.admin, afterAll) };
    run = createCaseRunner({ peers, terminate });
  });

  test.each(suite.cases.map((one) => [one.name, one] as const))('%s', async (__, one) => run(one));
});
