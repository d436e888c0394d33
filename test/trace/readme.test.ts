/** The README's table of operators is the registries' present content. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { operatorTable } from '../../src/trace/table.ts';

const readme = fileURLToPath(new URL('../../src/trace/README.md', import.meta.url));

test('the table of operators in src/trace/README.md is current', async () => {
  const text = readFileSync(readme, 'utf8');
  const end = text.indexOf('writes it. -->') + 'writes it. -->'.length;
  expect(end).toBeGreaterThan('writes it. -->'.length);
  await expect(`${text.slice(0, end)}\n\n${operatorTable()}\n`).toMatchFileSnapshot(readme);
});
