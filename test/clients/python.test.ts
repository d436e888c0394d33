/** The Python client: what is generated is current, and its own tests (test/clients/python) pass against the real server. Needs the built command. */

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testWith } from '../requirements.ts';
import { temporaryStore } from '../server/fixtures.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const python = process.env.HYPERPOLICY_PYTHON ?? 'python3';
const needed = ['grpc', 'google.protobuf', 'numpy', 'pytest'];

test('what is generated is current', () => {
  const { status, stderr } = spawnSync(process.execPath, ['clients/python/generate.mjs', '--check'], { cwd: root });
  expect({ status, stderr: String(stderr) }).toEqual({ status: 0, stderr: '' });
});

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
    ],
    afterAll,
  );
});

const pythonTest = testWith(
  spawnSync(python, ['-c', `import ${needed.join(', ')}`]).status === 0,
  'Python with the packages of its client and of its tests',
  'pip install ./clients/python pytest, or name a Python that has them in HYPERPOLICY_PYTHON',
);
const directory = fileURLToPath(new URL('./python/', import.meta.url));
const files = readdirSync(directory).filter((file) => file.startsWith('test_'));

pythonTest.each(files)('%s', { timeout: 240_000 }, (file) => {
  const { status, stdout, stderr } = spawnSync(python, ['-m', 'pytest', '-q', '-p', 'no:cacheprovider', file], {
    cwd: directory,
    encoding: 'utf8',
    env: {
      ...process.env,
      PYTHONPATH: fileURLToPath(new URL('../../clients/python', import.meta.url)),
      PYTHONDONTWRITEBYTECODE: '1',
      CLIENT_TEST_STORE: store,
    },
  });
  expect({ status, said: status === 0 ? '' : `${stdout}\n${stderr}` }).toEqual({ status: 0, said: '' });
});
