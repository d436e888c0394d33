/** Which hosts no proxy is asked for. Python's test_calls.py has the same cases. */

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isDirect } from '../../clients/typescript/direct-hosts.ts';

type Case = { readonly address: string; readonly noProxy: string; readonly isDirect: boolean };
const cases = JSON.parse(readFileSync(new URL('./direct-hosts.json', import.meta.url), 'utf8')) as Case[];

test.each(cases)('$address, no_proxy "$noProxy": $isDirect', ({ address, noProxy, isDirect: expected }) => {
  expect(isDirect(address, noProxy)).toBe(expected);
});
