/** The program of the client's README runs as written against a real server, also while that is gone; its tables name what there is. */

import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { statusByKind } from '../../src/contract/status.ts';
import { temporaryStore } from '../server/fixtures.ts';
import { spawnServer } from '../server/spawn.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = await readFile(join(root, 'clients/typescript/README.md'), 'utf8');
const robotReadme = await readFile(join(root, 'clients/robot/README.md'), 'utf8');
const model = 'halfcheetah-quickstart';

test.each([
  { of: 'client', text: readme, ending: 'console.log(stream.ended, stream.version);', said: /^true 1\n$/ },
  { of: 'robot', text: robotReadme, ending: 'console.log(stream.ended);', said: /^[\d.]+ [\d.]+ \{.*\}\ntrue\n$/ },
])('the control loop of the $of README runs', async ({ of, text, ending, said }) => {
  const size = { observationSize: 17, actionSize: 6, hiddenSize: 8 };
  const store = await temporaryStore([{ model, policy: 'plain', critic: 'none', ...size }]);
  const { address } = await spawnServer(['--store', store]);
  const [, program] = /```ts\n([\s\S]*?)```/.exec(text)!;
  // Inside the package, so that its name resolves.
  const file = join(root, 'dist', `${of}-readme-${process.pid}.mjs`);
  onTestFinished(() => rm(file));
  await writeFile(file, `${program!.replace('127.0.0.1:50051', address)}\n${ending}\n`);
  const { stdout } = await promisify(execFile)(process.execPath, [file]);
  expect(stdout).toMatch(said);
});

test('every kind of error is in its table', () => {
  const [, table] = readme.split('## Errors');
  const named = [...table!.matchAll(/`([a-z_]+)`/g)].map(([, kind]) => kind);
  expect(named).toEqual(expect.arrayContaining(Object.keys(statusByKind)));
});

test('every option of connections is in its table, with its default', async () => {
  const source = await readFile(join(root, 'clients/typescript/connection.ts'), 'utf8');
  const [, names] = /connectionOptionNames = \[([\s\S]*?)\]/.exec(source)!;
  for (const [, name] of names!.matchAll(/'(\w+)'/g)) {
    const [, fallback] = new RegExp(`\\| \`${name}\` +\\| (\\S*)`).exec(readme) ?? [];
    expect({ name, fallback }).toEqual({ name, fallback: expect.any(String) });
    const [, inCode] = new RegExp(`${name} = (\\d+),`).exec(source) ?? [];
    if (inCode !== undefined) expect({ name, fallback }).toEqual({ name, fallback: inCode });
  }
});
