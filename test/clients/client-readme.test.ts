/** The tables of the client's README name what there is. Its programs are run by client-package.test.ts. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { statusByKind } from '../../src/contract/status.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = await readFile(join(root, 'clients/typescript/README.md'), 'utf8');

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
