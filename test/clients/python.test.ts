/** The Python client's own tests (test/clients/python) pass. Needs the built command. */

import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, expect } from 'vitest';
import { temporaryStore } from '../server/fixtures.ts';
import { directory, pythonTest, runPython } from './python-run.ts';

let store: string;
beforeAll(async () => {
  const size = { observationSize: 3, actionSize: 2, hiddenSize: 8 };
  const hyper = { ...size, policy: 'hyper', contextSize: 2, trunkSizes: [8], stochastic: true } as const;
  store = await temporaryStore(
    [
      { model: 'm', policy: 'plain', critic: 'plain', ...size },
      { model: 'hyper', critic: 'hyper', ...hyper },
      { model: 'posterior', policy: 'plain', critic: 'none', ...size, contextSize: 2, encoder: true },
      { model: 'halfcheetah-quickstart', policy: 'plain', critic: 'none', hiddenSize: 8 },
      { model: 'weights', critic: 'none', ...hyper, adapt: true },
      { model: 'changed', policy: 'plain', critic: 'none', ...size },
      { model: 'changed', policy: 'plain', critic: 'none', ...size, actionSize: 3 },
    ],
    afterAll,
  );
});

const files = readdirSync(directory).filter((file) => file.startsWith('test_'));

pythonTest.each(files)('%s', { timeout: 240_000 }, async (file) => {
  const { code, said } = await runPython(['-m', 'pytest', '-q', '-p', 'no:cacheprovider', file], {
    CLIENT_TEST_STORE: store,
  });
  expect(code, said).toBe(0);
});
